"""`eagleray schema` prints the schema, or writes it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from eagleray.cli import app
from eagleray.spec import json_schema


def test_prints(capsys: pytest.CaptureFixture[str]) -> None:
    assert app.main(["schema"]) == 0

    assert json.loads(capsys.readouterr().out) == json_schema.schema()


def test_writes_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert app.main(["schema", "--out", str(tmp_path / "a.json")]) == 0
    assert app.main(["schema"]) == 0

    assert (tmp_path / "a.json").read_text(encoding="utf-8") == capsys.readouterr().out


def test_refuses_what_cannot_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert app.main(["schema", "--out", str(tmp_path / "missing" / "a.json")]) == 2

    assert capsys.readouterr().err.endswith("cannot be written: No such file or directory\n")
