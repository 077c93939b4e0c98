"""What decides on the weight of a model, and that it is reckoned once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from eagleray.errors import UserError
from eagleray.flow.estimate import Estimate, estimate
from eagleray.train.resources import WorkerShape
from tests.support import tiny_models, training


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_models.save_encoder(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def reviews(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "reviews.jsonl"
    training.write_reviews(path, num_rows=70)
    return path


def _estimate(model: Path, reviews: Path, cache: Path, **sections: dict[str, Any]) -> Estimate:
    return estimate(
        training.document(model, reviews, **sections),
        cache_dir=cache,
        worker_bytes=None,
        shape=WorkerShape(num_cpus=1, num_gpus=0),
        on_progress=lambda stage, count: None,
    )


def _kept(cache: Path) -> set[str]:
    return {path.name for path in (cache / "plans").glob("*")}


def test_the_same_document_is_weighed_once(model: Path, reviews: Path, cache: Path) -> None:
    first = _estimate(model, reviews, cache)
    kept = _kept(cache)

    assert _estimate(model, reviews, cache) == first
    assert _kept(cache) == kept


@pytest.mark.parametrize(
    ("sections", "is_weighed_anew"),
    [
        ({"train": {"learning_rate": 1e-3}}, False),
        ({"train": {"epochs": 9}}, False),
        ({"scale": {"zero": {"stage": 2}}}, False),
        ({"train": {"precision": "bf16"}}, True),
        ({"train": {"attention_dropout": 0.0}}, True),
        ({"method": {"type": "lora", "rank": 2}}, True),
        ({"train": {"global_batch_size": 4}}, True),
    ],
    ids=str,
)
def test_what_weighs(
    model: Path, reviews: Path, cache: Path, sections: dict[str, dict[str, Any]], is_weighed_anew: bool
) -> None:
    _estimate(model, reviews, cache)
    before = _kept(cache)

    _estimate(model, reviews, cache, **sections)

    assert (_kept(cache) != before) is is_weighed_anew


def test_attention_that_drops_nothing_keeps_no_scores(model: Path, reviews: Path, cache: Path) -> None:
    drops, keeps = (
        _estimate(model, reviews, cache, train={"attention_dropout": share}).chosen.budget.activations
        for share in (0.1, 0.0)
    )

    assert keeps < drops


def test_a_dropout_that_the_model_has_not(tmp_path: Path, reviews: Path, cache: Path) -> None:
    decoder = tiny_models.save_decoder(tmp_path / "model")

    with pytest.raises(UserError, match=r"train\.dropout"):
        _estimate(decoder, reviews, cache, train={"dropout": 0.2})
