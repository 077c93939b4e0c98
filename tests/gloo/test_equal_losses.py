"""The loss of a step depends on the samples alone: not on workers, accumulation, sharding or packing.

Slow parts are real: processes, gloo and DeepSpeed, because what could go wrong is how they divide and sum.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support import tiny_models
from tests.support.gloo import GlooWorkers
from tests.support.training import Trained, document, train, write_reviews

Workers = Callable[[int], GlooWorkers]
NUM_ROWS = 70  # 56 to train on: seven batches of 8; with 3 workers no share is even


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_models.save_encoder(tmp_path_factory.mktemp("encoder"), dropout=0.0)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "reviews.jsonl"
    write_reviews(path, num_rows=NUM_ROWS)
    return path


@pytest.fixture(scope="module")
def run(
    gloo_workers: Workers, model: Path, data: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Trained]:
    cache, storage = tmp_path_factory.mktemp("cache"), tmp_path_factory.mktemp("storage")

    def run(world_size: int, micro_batch_size: int, stage: int, method: str) -> Trained:
        wanted = document(
            model,
            data,
            train={"micro_batch_size": micro_batch_size},
            scale={"num_workers": world_size, "zero": {"stage": stage}},
            method={"type": method},
        )
        return train(gloo_workers(world_size), wanted, storage, cache)

    return run


@pytest.fixture(scope="module")
def reference(run: Callable[..., Trained]) -> Callable[[str], Trained]:
    done: dict[str, Trained] = {}

    def reference(method: str) -> Trained:
        if method not in done:
            done[method] = run(1, 8, 0, method)
        return done[method]

    return reference


@pytest.mark.parametrize("method", ["full", "lora"])
@pytest.mark.parametrize("stage", [0, 1, 2, 3])
@pytest.mark.parametrize(
    ("world_size", "micro_batch_size"), [(1, 2), (2, 4), (2, 1), (3, 3)], ids=["1x4", "2x1", "2x4", "3 uneven"]
)
def test_losses_equal_one_worker(
    run: Callable[..., Trained],
    reference: Callable[[str], Trained],
    world_size: int,
    micro_batch_size: int,
    stage: int,
    method: str,
) -> None:
    expected = reference(method)

    trained = run(world_size, micro_batch_size, stage, method)

    assert len(trained.losses) == 7
    assert trained.losses == pytest.approx(expected.losses, rel=1e-5)
    assert trained.gradient_norms == pytest.approx(expected.gradient_norms, rel=1e-3)
    together = [math.hypot(*norms.values()) for norms in trained.layer_norms]
    assert together == pytest.approx(trained.gradient_norms, rel=1e-3), "the layers are not the whole"
    assert trained.layer_norms[-1] == pytest.approx(expected.layer_norms[-1], rel=1e-3, abs=1e-6)
    assert expected.losses[0] != pytest.approx(expected.losses[-1], rel=1e-3), "nothing was learned"


@pytest.mark.parametrize("stage", [1, 2, 3])
def test_the_layers_are_the_whole_in_half_precision(
    gloo_workers: Workers, model: Path, data: Path, tmp_path: Path, stage: int
) -> None:
    scale = {"num_workers": 2, "zero": {"stage": stage}}
    wanted = document(model, data, train={"precision": "bf16"}, scale=scale)

    trained = train(gloo_workers(2), wanted, tmp_path / "storage", tmp_path / "cache")

    together = [math.hypot(*norms.values()) for norms in trained.layer_norms]
    assert together == pytest.approx(trained.gradient_norms, rel=1e-3)
