"""A probe takes a few real steps and leaves nothing behind."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from eagleray.flow.probe import probe
from tests.ray.watching import Watcher
from tests.support.training import document


def test_steps_are_measured_and_thrown_away(
    ray_session: None, model: Path, reviews: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch, storage = tmp_path / "scratch", tmp_path / "storage"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    wanted = document(model, reviews, train={"epochs": 5000}, scale={"num_workers": 2, "cpus_per_worker": 1})

    measured = probe(wanted, storage=str(storage), cache_dir=tmp_path / "cache", view=Watcher())

    assert 20 <= measured.num_steps < 5000 * 7
    assert 0 < measured.step_s < 5
    assert measured.startup_s > 0
    assert measured.upload_bytes_per_s > 0
    assert list(storage.iterdir()) == []
    assert [path.name for path in scratch.iterdir() if path.name.startswith("eagleray-scratch-probe")] == []
