"""A probe takes a few real steps and leaves nothing behind."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from eagleray.flow import plan
from eagleray.flow.probe import probe
from eagleray.spec.stage import StageSpec
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


@pytest.mark.slow  # two starts of workers
def test_each_run_of_a_document_with_stages_is_measured(
    ray_session: None, model: Path, reviews: Path, tmp_path: Path
) -> None:
    wanted = document(model, reviews, train={"epochs": 5000})
    stage = StageSpec(name="before", **{key: getattr(wanted.spec, key) for key in ("task", "data", "train")})
    wanted = wanted.model_copy(update={"spec": wanted.spec.model_copy(update={"stages": (stage,)})})

    made = plan.make(
        wanted,
        storage=str(tmp_path / "storage"),
        cache_dir=tmp_path / "cache",
        view=Watcher(),
        probes=True,
        prices=None,
        accelerator=None,
    )

    assert made.measured is not None
    (before,) = made.besides
    assert before.name == "stage before"
    assert before.seconds is not None
    assert before.seconds > 0
