"""The command line answers at once: help loads none of the heavy packages.

Each test starts a process of its own, because what a process has imported stays imported.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEAVY = (
    "torch",
    "ray",
    "deepspeed",
    "transformers",
    "datasets",
    "peft",
    "evaluate",
    "kubernetes",
    "obstore",
    "numpy",
    "pyarrow",
)
MAIN = "import sys; from eagleray.cli.app import main; code = main(sys.argv[1:])"
REPORT = "; import json; print(json.dumps(sorted(sys.modules)), file=sys.stderr); sys.exit(code)"


def _run(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    return subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, env=environment, check=False
    )


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(["--help"], id="help"),
        pytest.param(["--version"], id="version"),
        pytest.param(["plan", "--help"], id="plan-help"),
        pytest.param(["runs", "--help"], id="runs-help"),
        pytest.param(["ui", "--help"], id="ui-help"),
        pytest.param(["schema"], id="schema"),
        pytest.param(["render", "--help"], id="render-help"),
        pytest.param(["render", str(ROOT / "serve" / "endpoint.yaml"), "--storage", "s3://bucket"], id="render"),
        pytest.param(
            ["plan", str(ROOT / "jobs" / "finetune" / "text-classification-cpu.yaml"), "--document"], id="plan"
        ),
    ],
)
def test_loads_nothing_heavy(arguments: list[str]) -> None:
    done = _run(MAIN + REPORT, *arguments)

    assert done.returncode == 0, done.stderr
    # The last line: a command may have said something before.
    loaded = {name.partition(".")[0] for name in json.loads(done.stderr.splitlines()[-1])}
    assert loaded.intersection(HEAVY) == set()


def test_the_page_over_a_storage_loads_no_machine_learning() -> None:
    done = _run("import eagleray.ui.server, json, sys; print(json.dumps(sorted(sys.modules)))")

    loaded = {name.partition(".")[0] for name in json.loads(done.stdout)}
    assert loaded.intersection(HEAVY) == {"obstore"}


def test_help_loads_no_document_models() -> None:
    done = _run(MAIN + REPORT, "--help")

    assert not {"pydantic", "yaml", "rich"}.intersection(json.loads(done.stderr))


def test_help_takes_less_than_half_a_second() -> None:
    """Processor time, the best of three: the wall clock of a busy machine says little about the program."""

    def seconds() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        _run(MAIN, "--help")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    assert min(seconds() for _ in range(3)) < 0.5


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        pytest.param("eagleray.serving.app", ("torch", "transformers", "onnxruntime"), id="who-deploys"),
        pytest.param("eagleray.serving.coordinator", ("torch", "transformers", "onnxruntime"), id="coordinator"),
        pytest.param("eagleray.serving.service", ("transformers.modeling_utils", "peft"), id="onnx-replica"),
        pytest.param("eagleray.flow.plan", ("transformers.modeling_utils", "peft", "ray"), id="plan-weighed-before"),
        pytest.param("eagleray.flow.making", ("torch", "transformers", "ray"), id="up-with-nothing-to-do"),
    ],
)
def test_what_runs_no_model_loads_none(module: str, absent: tuple[str, ...]) -> None:
    done = _run(f"import {module}, json, sys; print(json.dumps(sorted(sys.modules)))")

    loaded = set(json.loads(done.stdout))
    assert not loaded & set(absent), done.stderr
