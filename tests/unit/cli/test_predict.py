"""`eagleray predict`: rows from a file or stdin, answers to a file or stdout, progress beside them."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from eagleray.cli.app import main
from eagleray.store.objects import open_storage
from tests.support.trained_runs import new_trained_run

TEXTS = ["a fine film", "x", "a mess of a plot"]


@pytest.fixture
def storage(tmp_path: Path) -> str:
    storage = str(tmp_path / "runs")
    task = {"type": "text-classification"}
    new_trained_run(open_storage(storage), tmp_path, task=task, labels=("bad", "good"), name="films")
    return storage


def lines(*texts: str) -> str:
    return "".join(json.dumps({"text": text}) + "\n" for text in texts)


def test_file_to_stdout(storage: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "rows.jsonl").write_text(lines(*TEXTS))

    code = main(["predict", "films", "--input", str(tmp_path / "rows.jsonl"), "--storage", storage])

    out, err = capsys.readouterr()
    assert code == 0
    assert [set(json.loads(line)) for line in out.splitlines()] == [{"label", "probabilities"}] * 3
    assert "3 rows answered" in err


def test_csv_and_stdin_give_the_same(
    storage: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "rows.csv").write_text("text\n" + "\n".join(TEXTS) + "\n")
    main(["predict", "films", "--input", str(tmp_path / "rows.csv"), "--storage", storage])
    from_csv = capsys.readouterr().out

    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(lines(*TEXTS).encode())))
    main(["predict", "films", "--input", "-", "--storage", storage])

    assert capsys.readouterr().out == from_csv


def test_output_file(storage: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "rows.jsonl").write_text(lines(*TEXTS))
    output = tmp_path / "answers.jsonl"

    main(["predict", "films", "--input", str(tmp_path / "rows.jsonl"), "--output", str(output), "--storage", storage])

    assert len(output.read_text().splitlines()) == 3
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(lines("x") + "{broken\n", "rows.jsonl:2", id="broken JSON"),
        pytest.param(lines("x") + '"text"\n', "rows.jsonl:2", id="no object"),
        pytest.param(lines("x") + '{"txt": "x"}\n', "rows.jsonl:2: column `text` is missing", id="no column"),
        pytest.param("", "no rows", id="empty"),
    ],
)
def test_bad_input_leaves_no_output(
    storage: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str, message: str
) -> None:
    (tmp_path / "rows.jsonl").write_text(content)
    output = tmp_path / "answers.jsonl"
    output.write_text("from before")

    code = main(
        ["predict", "films", "--input", str(tmp_path / "rows.jsonl"), "--output", str(output), "--storage", storage]
    )

    assert code == 2
    assert message in capsys.readouterr().err
    assert output.read_text() == "from before"
    assert not list(tmp_path.glob(".answers*"))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        pytest.param(b'{"text": "x"', "stdin:2: not valid JSON", id="broken JSON"),
        pytest.param(b"[1]", "stdin:2: a JSON array", id="list"),
        pytest.param(b'{"text": "\xff"}', "stdin:2: byte 0xff", id="not UTF-8"),
    ],
)
def test_bad_lines_of_stdin_are_named(
    storage: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    line: bytes,
    message: str,
) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b'{"text": "x"}\n' + line + b"\n")))

    assert main(["predict", "films", "--input", "-", "--storage", storage]) == 2
    assert message in capsys.readouterr().err


def test_a_storage_that_is_not_there_is_not_created(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "rows.jsonl").write_text(lines("x"))
    where = tmp_path / "rusn"

    assert main(["predict", "films", "--input", str(tmp_path / "rows.jsonl"), "--storage", str(where)]) == 2
    assert f"there is no directory {where}" in capsys.readouterr().err
    assert not where.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(["flims"], "films", id="unknown run, with what is there"),
        pytest.param(["films", "--batch-size", "0"], "batch-size", id="no rows at once"),
    ],
)
def test_wrong_arguments(
    storage: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    (tmp_path / "rows.jsonl").write_text(lines("x"))

    code = main(["predict", *arguments, "--input", str(tmp_path / "rows.jsonl"), "--storage", storage])

    assert code == 2
    assert message in capsys.readouterr().err
