"""`eagleray plan` prints the resolved document with the origin of each value."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from eagleray.cli import app
from eagleray.spec import document
from tests.support import documents


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "jobs" / "a.yaml"
    path.parent.mkdir()
    path.write_text(documents.text(data="{train: a.csv, keep: {a.b: [x]}}"), encoding="utf-8")
    return path


def test_output_is_a_document_that_loads_as_the_same_run(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        app.main(["plan", str(file), "--set", 'task.labels=[a, "no", "1"]', "--set", 'task.label_separator="\\n"']) == 0
    )

    printed = document.loads(capsys.readouterr().out, source="printed").document
    assert printed.spec.data.train == str(file.parent / "a.csv")
    assert printed.spec.task.model_dump()["labels"] == ("a", "no", "1")
    assert printed.spec.task.model_dump()["label_separator"] == "\n"


def test_origins_stand_in_one_column_within_80(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert app.main(["plan", str(file), "--set", "train.seed=3", "--storage", "s3://bucket/" + "x" * 60]) == 0

    lines = capsys.readouterr().out.splitlines()
    origins = [line for line in lines if "# " in line]
    assert {line.index("# ") for line in origins} == {60}
    assert all(len(line) <= 80 for line in origins)
    assert "    seed: 3".ljust(60) + "# --set" in lines
    assert "    epochs: 3".ljust(60) + "# default" in lines
    assert "kind: FineTune".ljust(60) + "# line 2" in lines
    assert "      a.b: [x]".ljust(60) + "# line 7" in lines
    # What does not fit goes below its key.
    position = lines.index("  storage:".ljust(60) + "# --storage")
    assert lines[position + 1] == "    s3://bucket/" + "x" * 60


def test_long_lists_are_written_one_entry_a_line(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    labels = [f"a-rather-long-label-{number}" for number in range(5)]

    assert app.main(["plan", str(file), "--set", f"task.labels=[{', '.join(labels)}]"]) == 0

    lines = capsys.readouterr().out.splitlines()
    position = lines.index("    labels:".ljust(60) + "# --set")
    assert lines[position + 1 : position + 6] == [f"      - {label}" for label in labels]


@pytest.mark.parametrize(
    ("option", "environment", "storage", "kind"),
    [
        pytest.param(["--storage", "x"], "y", "x", "--storage", id="option"),
        pytest.param([], "y", "y", "EAGLERAY_STORAGE", id="environment"),
        pytest.param([], "", "runs", "default", id="default"),
    ],
)
def test_json(
    file: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    option: list[str],
    environment: str,
    storage: str,
    kind: str,
) -> None:
    monkeypatch.setenv("EAGLERAY_STORAGE", environment)

    assert app.main(["plan", str(file), "--json", *option]) == 0

    facts = json.loads(capsys.readouterr().out)
    assert facts["path"] == str(file)
    assert facts["document"]["spec"]["storage"] == str(Path.cwd() / storage)
    assert facts["origins"]["spec.storage"] == {"kind": kind, "line": None}
    assert facts["origins"]["spec.model.source"] == {"kind": "document", "line": 5}


def test_nothing_is_written(file: Path, tmp_path: Path) -> None:
    assert app.main(["plan", str(file)]) == 0

    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [file]


def test_wrong_document(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert app.main(["plan", str(file), "--set", "train.seed=x"]) == 2

    out, err = capsys.readouterr()
    assert (out, err.startswith("error: --set: spec.train.seed: expected a whole number")) == ("", True)
