"""What a run writes down of what it depends on."""

from __future__ import annotations

import platform
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from eagleray.model import sources
from eagleray.store.runs import LockRecord
from eagleray.train import lock
from eagleray.train.inputs import Inputs
from eagleray.train.resources import Node, Resources
from tests.support.training import document

NOTHING: Any = None
PREPARED: Any = SimpleNamespace(fingerprint="of-the-rows")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text("{}", encoding="utf-8")
    (folder / "model.safetensors").write_bytes(b"weights")
    return folder


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with one commit."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    (folder / "job.yaml").write_text("one", encoding="utf-8")
    _git("init", "--quiet")
    _git("add", "job.yaml")
    _git("-c", "user.name=me", "-c", "user.email=me@example.org", "commit", "--quiet", "--message", "Begin")
    return folder


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], check=True, capture_output=True, text=True).stdout.strip()


def _of_run(model: Path) -> LockRecord:
    resources = Resources((Node(num_cpus=4, num_gpus=1), Node(num_cpus=2, num_gpus=0)))
    wanted = document(model, Path("rows.jsonl"), train={"seed": 7})
    return lock.of_run(
        wanted, Inputs(tokenizer=NOTHING, task=NOTHING, data=PREPARED), resources, prompt_of="english-0001@7"
    )


def test_versions_data_seed_model_and_hardware(model: Path) -> None:
    record = _of_run(model)

    assert set(record.versions) == set(lock.PACKAGES)
    assert all(record.versions.values())
    assert record.python == platform.python_version()
    assert (record.data_fingerprint, record.seed, record.prompt_of) == ("of-the-rows", 7, "english-0001@7")
    assert record.model_sha256 == sources.sha256(str(model)) != ""
    assert {name: record.hardware[name] for name in ("num_cpus", "num_gpus", "num_nodes")} == {
        "num_cpus": 6,
        "num_gpus": 1,
        "num_nodes": 2,
    }
    assert record.hardware["machine"] == platform.machine()


def test_the_commit(model: Path, repository: Path) -> None:
    (repository / "notes.txt").write_text("of no commit", encoding="utf-8")

    assert _of_run(model).git_commit == _git("rev-parse", "HEAD")


def test_a_file_that_was_changed_since_the_commit(model: Path, repository: Path) -> None:
    (repository / "job.yaml").write_text("another", encoding="utf-8")

    assert _of_run(model).git_commit == f"{_git('rev-parse', 'HEAD')}-dirty"


def test_no_commit_outside_of_a_repository(model: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))

    assert _of_run(model).git_commit == ""


def test_no_commit_without_git(model: Path, repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(repository))

    assert _of_run(model).git_commit == ""
