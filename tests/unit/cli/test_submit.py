"""`eagleray submit`: what is refused before a cluster is asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from eagleray.cli import app
from tests.support import documents

CLUSTER = ["--address", "http://127.0.0.1:1"]


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", "")  # set by the command; taken back after the test
    path = tmp_path / "a.yaml"
    path.write_text(documents.text(data="{train: pkg://package/rows.csv}"), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("arguments", "environment", "code", "told"),
    [
        ([], "", 2, "storage ./runs is relative"),
        (["--storage", "out"], "/mnt/runs", 2, "storage out is relative"),
        (["--storage", ""], "/mnt/runs", 2, "--storage is empty"),
        ([], "out", 2, "storage out is relative"),
        (["--set", "storage=out"], "", 2, "storage out is relative"),
        (["--set", "train.epoch=1"], "/mnt/runs", 2, "did you mean"),
        (
            ["--storage", "/mnt/runs", "--until", "training"],
            "",
            2,
            "--until training: give one of preflight, stages",
        ),
        (["--storage", "/mnt/runs", "--address", "head:8265"], "", 2, "is no URL"),
        (["--storage", "/mnt/runs", "--set", "data.train=gone.csv"], "", 2, "gone.csv is not here"),
        (["--storage", "/mnt/runs"], "", 1, "no Ray cluster answers at http://127.0.0.1:1"),
        ([], "/mnt/runs", 1, "no Ray cluster answers at http://127.0.0.1:1"),
    ],
    ids=[
        "default",
        "option before environment",
        "empty option",
        "environment",
        "document",
        "document is wrong",
        "unknown step",
        "no url",
        "missing file",
        "no cluster",
        "environment is right",
    ],
)
def test_refused(
    file: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    environment: str,
    code: int,
    told: str,
) -> None:
    monkeypatch.setenv("EAGLERAY_STORAGE", environment)

    assert app.main(["submit", str(file), *CLUSTER, *arguments]) == code

    captured = capsys.readouterr()
    assert told in captured.err
    assert captured.out == ""
