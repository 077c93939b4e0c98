"""Every shipped document that fits a CPU runs, with its own model and data, cut to two steps and few rows.

Real commands: that a document is valid does not show that its parts go together.
"""

from __future__ import annotations

import importlib.util
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.ray import heads
from tests.ray.processes import Shell, shell

JOBS = Path(__file__).parents[2] / "jobs"
TOO_LARGE = {"zero3-8gpu"}  # eight GPUs, and a model of the hub
WRITERS = ("finetune/data/digits.py", "finetune/models/tiny_t5.py")
FILMS = "rotten_tomatoes_corpus_full"
FEW_FILMS = ["abandon", "about_a_boy", "adam_sandlers_eight_crazy_nights", "blue_crush", "chicago", "enigma"]
NUM_STEPS, NUM_TRIALS = 2, 2


def _documents(folder: str) -> list[Any]:
    found = sorted(path for path in (JOBS / folder).glob("*.yaml") if path.stem not in TOO_LARGE)
    return [pytest.param(path.relative_to(JOBS), id=path.stem) for path in found]


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of documents, with what its scripts write beside them."""
    folder = Path(shutil.copytree(JOBS, tmp_path_factory.mktemp("shipped") / "jobs"))
    with shell(folder) as user:
        for script in WRITERS:
            written = user.start(sys.executable, str(folder / script))
            assert written.wait() == 0, written.err
    return folder


@pytest.fixture
def user(tmp_path: Path) -> Iterator[Shell]:
    with shell(tmp_path) as opened:
        yield opened


@pytest.mark.models
@pytest.mark.slow  # a start of Ray a document
@pytest.mark.parametrize("path", _documents("finetune"))
def test_a_fine_tuning_runs(jobs: Path, path: Path, user: Shell) -> None:
    command = user.start("eagleray", "up", str(_cut(jobs / path)), "--storage", "storage", "--until", "evaluate")

    assert command.wait(timeout_s=600) == 0, command.err
    records = [file.parent for file in (user.folder / "storage/runs").glob("*/run.json")]
    assert records
    assert all((run / "model").is_dir() for run in records)


@pytest.mark.models
@pytest.mark.slow  # a start of Ray a document
@pytest.mark.parametrize("path", _documents("sweeps"))
def test_a_sweep_runs(jobs: Path, path: Path, user: Shell) -> None:
    command = user.start("eagleray", "sweep", str(_cut(jobs / path)), "--storage", "storage")

    assert command.wait(timeout_s=600) == 0, command.err
    assert heads.the_run(user.folder / "storage")["phase"] == "succeeded"


def _cut(path: Path) -> Path:
    """Write a document beside the one at `path` that does the same with less."""
    text = path.read_text(encoding="utf-8")
    for package in set(re.findall(r"pkg://(\w+)", text)):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"the demo package {package} is not installed (requirements-demo.txt)")
    document = yaml.safe_load(text)
    spec = document["spec"]
    for part in (spec, *spec.get("stages", ())):
        part["train"] = {**part["train"], "max_steps": NUM_STEPS}
        part["train"].pop("evaluate_every_steps", None)
        for holder in part["task"].get("tasks", [part]):  # several tasks name their rows each
            holder["data"] = _fewer(holder["data"])
    if "self_training" in spec:
        spec["self_training"] |= {"rounds": 1, "threshold": 0.5}  # after two steps a teacher is sure of nothing
    if "sweep" in spec:
        spec["sweep"]["budget"] = {**spec["sweep"].get("budget", {}), "trials": NUM_TRIALS}
        spec["sweep"]["scheduler"] |= {
            name: 1 for name in ("grace_steps", "every_steps") if name in spec["sweep"]["scheduler"]
        }
    cut = path.with_name(f"cut-{path.name}")
    cut.write_text(yaml.safe_dump(document, allow_unicode=True), encoding="utf-8")
    return cut


def _fewer(data: dict[str, Any]) -> dict[str, Any]:
    """Few films; of other large data, few rows to evaluate."""
    if FILMS in data["train"]:
        return {**data, "keep": {**data["keep"], "movie_name": [*FEW_FILMS]}}  # a list of its own: no YAML alias
    if "pkg://" in data["train"]:
        return {**data, "validation": {"fraction": 0.02}, "test_fraction": 0.02}
    return data
