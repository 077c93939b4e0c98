"""What decides on the weight of a model, and that it is reckoned once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from eagleray.errors import UserError
from eagleray.flow.estimate import Estimate, estimate
from eagleray.spec.model import Nf4Spec
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


def test_the_same_document_is_weighed_once(model: Path, reviews: Path, tmp_path: Path) -> None:
    first = _estimate(model, reviews, tmp_path)
    (kept,) = (tmp_path / "plans").glob("*")
    facts = json.loads(kept.read_text(encoding="utf-8"))
    kept.write_text(json.dumps(facts | {"parameters": facts["parameters"] + 1}), encoding="utf-8")

    again = _estimate(model, reviews, tmp_path)

    assert again.model.parameters == first.model.parameters + 1, "what is kept is read, and nothing reckoned"


def test_plans_at_once_share_no_file(model: Path, reviews: Path, tmp_path: Path) -> None:
    _estimate(model, reviews, tmp_path)
    (kept,) = (tmp_path / "plans").glob("*")
    kept.unlink()
    other = kept.with_suffix(".part")
    other.mkdir()  # taken by another process

    _estimate(model, reviews, tmp_path)

    assert kept.is_file()


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


def test_cached_features_leave_the_head_alone_to_train(model: Path, reviews: Path, cache: Path) -> None:
    runs_it, caches = (
        _estimate(model, reviews, cache, method={"type": "freeze", "cache_features": is_cached}).chosen.budget
        for is_cached in (False, True)
    )

    assert caches.activations < runs_it.activations / 4
    assert caches.peak > caches.process + caches.weights + caches.activations  # the frozen model runs before


def test_four_bits_a_weight(model: Path, reviews: Path, tmp_path: Path) -> None:
    document = training.document(model, reviews, method={"type": "lora", "rank": 2}, scale={"gpus_per_worker": 1})
    spec = document.spec
    packed = spec.model.model_copy(update={"quantization": Nf4Spec(type="nf4")})
    whole, held = (
        estimate(
            document.model_copy(update={"spec": spec.model_copy(update={"model": each})}),
            cache_dir=tmp_path,
            worker_bytes=None,
            shape=WorkerShape(num_cpus=1, num_gpus=1),
            on_progress=lambda stage, count: None,
        )
        for each in (spec.model, packed)
    )

    assert held.model == whole.model
    saved = whole.chosen.budget.weights - held.chosen.budget.weights
    linear = 2 * (4 * 32 * 32 + 2 * 32 * 64)  # layers, attention, both sides of what lies between
    assert saved >= linear * (4 - 0.5 - 0.02) * 0.9
    assert held.exported_bytes == whole.exported_bytes
