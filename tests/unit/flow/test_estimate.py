"""What a run takes, reckoned for a real model of a few thousand weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from transformers import AutoModelForSequenceClassification

from eagleray.flow.estimate import Estimate, estimate
from eagleray.train.resources import WorkerShape
from tests.support import tiny_models, training

PLENTY = 2**36
CPU = WorkerShape(num_cpus=1, num_gpus=0)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_models.save_encoder(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def reviews(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "reviews.jsonl"
    training.write_reviews(path, num_rows=70)
    return path


def _estimate(
    model: Path, reviews: Path, cache: Path, *, worker_bytes: int | None = PLENTY, **sections: dict[str, Any]
) -> Estimate:
    return estimate(
        training.document(model, reviews, **sections),
        cache_dir=cache,
        worker_bytes=worker_bytes,
        shape=CPU,
        on_progress=lambda stage, count: None,
    )


def test_all_weights_are_counted(model: Path, reviews: Path, tmp_path: Path) -> None:
    found = _estimate(model, reviews, tmp_path)

    real = AutoModelForSequenceClassification.from_pretrained(model, num_labels=2)
    assert found.model.parameters == found.model.learning == real.num_parameters()


def test_an_adapter_learns_what_its_rank_says(model: Path, reviews: Path, tmp_path: Path) -> None:
    found = _estimate(
        model, reviews, tmp_path, method={"type": "lora", "rank": 4, "target_modules": ["query", "value"]}
    )

    adapters = 2 * 2 * 4 * (32 + 32)  # layers, modules, rank, both sides of 32
    head = 32 * 2 + 2
    assert found.model.learning == adapters + head


def test_length(model: Path, reviews: Path, tmp_path: Path) -> None:
    found = _estimate(model, reviews, tmp_path, train={"epochs": 3}, scale={"num_workers": 2}).length

    assert (found.rows, found.validation_rows) == (56, 14)
    assert (found.steps_per_epoch, found.total_steps) == (7, 21)
    assert found.num_evaluations == 3


def test_a_step_is_laid_over_the_workers(model: Path, reviews: Path, tmp_path: Path) -> None:
    found = _estimate(model, reviews, tmp_path, train={"micro_batch_size": 2}, scale={"num_workers": 2}).batches

    assert (found.global_batch_size, found.micro_batch_size, found.accumulation) == (8, 2, 2)
    assert not found.is_measured_later


def test_the_documents_stage_is_marked_and_the_lowest_that_fits_recommended(
    model: Path, reviews: Path, tmp_path: Path
) -> None:
    found = _estimate(model, reviews, tmp_path, scale={"num_workers": 2, "zero": {"stage": 2}})

    assert [option.zero.stage for option in found.memory] == [0, 1, 2, 3]
    assert found.chosen.zero.stage == 2
    assert found.recommended is not None
    assert found.recommended.zero.stage == 0


def test_nothing_fits_a_worker_without_memory(model: Path, reviews: Path, tmp_path: Path) -> None:
    found = _estimate(model, reviews, tmp_path, worker_bytes=2**20)

    assert [option.fits for option in found.memory] == [False] * 4
    assert found.recommended is None


def test_nobody_knows_what_a_worker_has(model: Path, reviews: Path, tmp_path: Path) -> None:
    found = _estimate(model, reviews, tmp_path, worker_bytes=None)

    assert {option.fits for option in found.memory} == {None}


def test_auto_takes_what_fits(model: Path, reviews: Path, tmp_path: Path) -> None:
    auto = {"micro_batch_size": "auto"}
    plenty = _estimate(model, reviews, tmp_path, train=auto)
    scarce = _estimate(model, reviews, tmp_path, train=auto, worker_bytes=2**20)

    assert (plenty.batches.micro_batch_size, plenty.batches.is_measured_later) == (8, True)
    assert scarce.batches.micro_batch_size == 1


def test_checkpoints_fill_the_storage(model: Path, reviews: Path, tmp_path: Path) -> None:
    found = _estimate(model, reviews, tmp_path, train={"epochs": 9}, checkpoint={"keep": 2})

    assert found.length.num_checkpoints > 3
    assert found.storage_bytes == 3 * found.checkpoint_bytes + found.exported_bytes
    assert found.exported_bytes == found.model.parameters * 4
