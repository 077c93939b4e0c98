"""`eagleray up`: what is refused at once, and what a look leaves behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from eagleray.cli import app
from eagleray.spec import document
from tests.unit.flow.test_register import reviews_document


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EAGLERAY_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("EAGLERAY_STORAGE", raising=False)
    path = tmp_path / "a.yaml"
    path.write_text(document.dump(reviews_document(tmp_path)), encoding="utf-8")
    return path


def test_a_dry_run_makes_no_storage(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert app.main(["up", str(file), "--dry-run", "--storage", str(tmp_path / "runs")]) == 0

    assert "train      to do" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_fork_and_new(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert app.main(["up", str(file), "--fork", "--new"]) == 2
    assert "--fork and --new exclude each other" in capsys.readouterr().err
