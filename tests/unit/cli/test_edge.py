"""Each way a command can end has its message and its exit code."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest
import typer

from eagleray import errors
from eagleray.cli import app, edge

ROOT = Path(__file__).parents[3]


def _raising(error: BaseException) -> Callable[[], NoReturn]:
    def command() -> NoReturn:
        raise error

    return command


FINDINGS = [errors.Finding("spec.a", "is wrong", 3, "a.yaml"), errors.Finding("spec.b", "is wrong", None, "--set")]


@pytest.mark.parametrize(
    ("error", "exit_code", "message"),
    [
        pytest.param(errors.UserError("mend it"), 2, "error: mend it\n", id="user"),
        pytest.param(errors.StorageError("full"), 1, "error: full\n", id="storage"),
        pytest.param(errors.TrainingError("worker 1\n  see log"), 1, "error: worker 1\n  see log\n", id="two-lines"),
        pytest.param(errors.ClusterError(), 1, "error: ClusterError\n", id="no-message"),
        pytest.param(
            errors.DocumentError(FINDINGS),
            2,
            "error: a.yaml:3: spec.a: is wrong\nerror: --set: spec.b: is wrong\n",
            id="every-finding-is-an-error",
        ),
        pytest.param(KeyboardInterrupt(), 130, "error: interrupted\n", id="interrupt"),
        pytest.param(typer.Abort(), 1, "error: aborted\n", id="abort"),
    ],
)
def test_errors(capsys: pytest.CaptureFixture[str], error: BaseException, exit_code: int, message: str) -> None:
    assert edge.run(_raising(error)) == exit_code

    assert capsys.readouterr() == ("", message)


@pytest.mark.parametrize(
    ("module", "package", "extra"),
    [
        pytest.param("torch.nn", "torch", "train", id="train"),
        pytest.param("kubernetes_validate", "kubernetes_validate", "validate", id="validate"),
        pytest.param("cel", "cel", "validate", id="cel"),
    ],
)
def test_a_missing_package_is_told_with_its_extra(
    module: str, package: str, extra: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def command() -> None:
        raise ModuleNotFoundError(f"No module named '{module}'", name=module)

    assert edge.run(command) == 1
    assert f"needs {package}, which is not installed: pip install 'eagleray[{extra}]'" in capsys.readouterr().err


def test_a_missing_module_of_ours_is_a_fault(capsys: pytest.CaptureFixture[str]) -> None:
    def command() -> None:
        raise ModuleNotFoundError("No module named 'eagleray.gone'", name="eagleray.gone")

    assert edge.run(command) == 1
    assert "the traceback is in" in capsys.readouterr().err


def test_done(capsys: pytest.CaptureFixture[str]) -> None:
    assert edge.run(lambda: "anything") == 0

    assert capsys.readouterr() == ("", "")


def test_a_command_that_chooses_its_exit_code_says_what_it_has_to_say_itself(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert edge.run(_raising(typer.Exit(130))) == 130

    assert capsys.readouterr() == ("", "")


def test_unexpected_errors_leave_their_traceback_in_a_file(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    assert edge.run(_raising(RuntimeError("first line\nsecond line"))) == 1

    message = capsys.readouterr().err
    found = re.fullmatch(r"error: unexpected RuntimeError: first line; the traceback is in (\S+)\n", message)
    assert found
    text = Path(found[1]).read_text(encoding="utf-8")
    assert Path(found[1]).parent == tmp_path
    assert text.startswith("Traceback") and "second line" in text


def test_unexpected_errors_show_their_traceback_where_no_file_can_be_written(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))

    assert edge.run(_raising(RuntimeError("x"))) == 1

    message = capsys.readouterr().err
    assert message.startswith("Traceback") and message.endswith("error: unexpected RuntimeError: x\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(["plan"], "error: Missing argument 'FILE'.\n  see eagleray plan --help\n", id="no-file"),
        pytest.param(
            ["pln"], "error: No such command 'pln'. Did you mean 'plan'?\n  see eagleray --help\n", id="no-command"
        ),
        pytest.param(
            ["plan", "a", "--sett"],
            "error: No such option: --sett (Possible options: --set)\n  see eagleray plan --help\n",
            id="no-option",
        ),
    ],
)
def test_wrong_usage(capsys: pytest.CaptureFixture[str], arguments: list[str], message: str) -> None:
    assert app.main(arguments) == 2

    assert capsys.readouterr() == ("", message)


@pytest.mark.parametrize("arguments", [pytest.param([], id="root"), pytest.param(["runs"], id="group")])
def test_no_command_prints_the_help(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    assert app.main(arguments) == 2

    assert capsys.readouterr().err.startswith(" ".join(["Usage: eagleray", *arguments]))


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert app.main(["--version"]) == 0

    assert re.fullmatch(r"eagleray \d+\.\d+\.\d+\n", capsys.readouterr().out)


def test_interrupt_of_a_process_is_one_line(tmp_path: Path) -> None:
    """A real process: only there does the signal meet what typer does with it."""
    pipe = tmp_path / "document.yaml"
    os.mkfifo(pipe)
    process = subprocess.Popen(
        [sys.executable, "-c", "import sys; from eagleray.cli.app import main; sys.exit(main())", "plan", str(pipe)],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        # A shell starts what runs in its background with the interrupt ignored, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    with pipe.open("wb"):  # returns when the command has opened the document, and keeps it waiting for the content
        process.send_signal(signal.SIGINT)
        _, message = process.communicate(timeout=60)

    assert (process.returncode, message) == (130, "error: interrupted\n")


def test_output_that_nobody_reads_ends_quietly() -> None:
    """A real process: the pipe of its output has to break."""
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-c", "import sys; from eagleray.cli.app import main; sys.exit(main())", "schema"],
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        check=False,
    )
    os.close(writing)

    assert (done.returncode, done.stderr) == (1, "")
