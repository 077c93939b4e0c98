"""`eagleray train`: what is refused before anything heavy is loaded."""

from __future__ import annotations

from pathlib import Path

import pytest

from eagleray.cli import app
from tests.support import documents


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "a.yaml"
    path.write_text(documents.text(), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "Missing argument 'FILE'"),
        (["gone.yaml"], "gone.yaml"),
        (["a.yaml", "--set", "train.epoch=1"], "did you mean"),
        (["a.yaml", "--set", "train.epochs=many"], "spec.train.epochs"),
        (["a.yaml", "--set", "train.epochs"], "--set"),
        (["a.yaml", "--storage", ""], "--storage is empty"),
        (["a.yaml", "--fork", "--new"], "--fork and --new exclude each other"),
        (["a.yaml", "--stor", "runs"], "No such option: --stor"),
        (["a.yaml", "b.yaml"], "unexpected extra argument"),
    ],
    ids=[
        "no file",
        "missing file",
        "unknown key",
        "wrong type",
        "no value",
        "empty storage",
        "fork and new",
        "option",
        "two files",
    ],
)
def test_refused(file: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], told: str) -> None:
    assert app.main(["train", *arguments]) == 2

    captured = capsys.readouterr()
    assert told in captured.err
    assert "loading torch" not in captured.err
    assert captured.out == ""
    assert list(file.parent.iterdir()) == [file]
