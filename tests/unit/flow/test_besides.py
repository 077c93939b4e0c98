"""What the runs of a document take that come before and after its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from eagleray.flow import besides
from eagleray.flow.estimate import Estimate, estimate
from eagleray.flow.measured import Measured
from eagleray.spec.finetune import FineTune
from eagleray.spec.self_training import SelfTrainingSpec
from eagleray.spec.stage import StageSpec
from eagleray.train.resources import WorkerShape
from tests.support import tiny_models, training

MEASURED = Measured(10.0, 0.5, 3, upload_bytes_per_s=1e6)


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> FineTune:
    folder = tmp_path_factory.mktemp("data")
    training.write_reviews(folder / "reviews.jsonl", num_rows=70)
    return training.document(tiny_models.save_encoder(folder / "model"), folder / "reviews.jsonl", train={"epochs": 3})


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def _estimate(document: FineTune, cache: Path) -> Estimate:
    return estimate(
        document,
        cache_dir=cache,
        worker_bytes=None,
        shape=WorkerShape(num_cpus=1, num_gpus=0),
        on_progress=lambda stage, count: None,
    )


def _with(document: FineTune, **changes: Any) -> FineTune:
    return document.model_copy(update={"spec": document.spec.model_copy(update=changes)})


@pytest.mark.parametrize("measured", [None, MEASURED], ids=["reckoned", "measured"])
def test_a_stage_is_a_run_of_its_own(document: FineTune, cache: Path, measured: Measured | None) -> None:
    spec = document.spec
    train = spec.train.model_copy(update={"epochs": 2})
    stage = StageSpec(name="words", task=spec.task, data=spec.data, train=train)

    (found,) = besides.stages(
        _with(document, stages=(stage,)), estimated=lambda each: _estimate(each, cache), measured=lambda each: measured
    )

    assert (found.name, found.num_runs, found.steps) == ("stage words", 1, 2 * 7)
    assert found.peak_bytes > 0
    assert found.storage_bytes > 0
    assert (found.seconds is None) is (measured is None)
    if found.seconds is not None:
        assert found.seconds > 10.0 + 14 * 0.5


@pytest.mark.parametrize("measured", [None, MEASURED], ids=["reckoned", "measured"])
def test_students_learn_from_every_row(
    document: FineTune, cache: Path, tmp_path: Path, measured: Measured | None
) -> None:
    training.write_reviews(tmp_path / "more.jsonl", num_rows=24)
    settings = SelfTrainingSpec(unlabeled=str(tmp_path / "more.jsonl"), rounds=2)
    own = _estimate(document, cache)

    (found,) = besides.students(_with(document, self_training=settings).spec, own, measured)

    assert own.length.rows == 56
    assert (found.name, found.num_runs, found.steps) == ("2 rounds of self-training", 2, 2 * 3 * 10)
    assert found.storage_bytes == 2 * own.storage_bytes
    assert (found.seconds is None) is (measured is None)
    if found.seconds is not None:
        assert found.seconds > 2 * (10.0 + 30 * 0.5)


def test_a_document_of_one_run_has_none(document: FineTune, cache: Path) -> None:
    assert besides.stages(document, estimated=lambda each: _estimate(each, cache), measured=lambda each: None) == []
    assert besides.students(document.spec, _estimate(document, cache), None) == []
