"""A run whose workers fail goes on as if nothing had been: bit-equal with as many workers, equal with others.

Slow parts are real: processes, gloo and DeepSpeed, because what could go wrong is what they keep for themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from eagleray.spec.finetune import FineTune
from eagleray.store import checkpoints, events, ledger, paths
from tests.support import tiny_models
from tests.support.gloo import GlooWorkers
from tests.support.training import GlooRun, Trained, document, write_reviews

Workers = Callable[[int], GlooWorkers]
NUM_ROWS = 70  # 56 to train on: seven steps of 8 an epoch


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "reviews.jsonl"
    write_reviews(path, num_rows=NUM_ROWS)
    return path


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Callable[[float], Path]:
    made: dict[float, Path] = {}

    def model(dropout: float) -> Path:
        if dropout not in made:
            made[dropout] = tiny_models.save_encoder(tmp_path_factory.mktemp("encoder"), dropout=dropout)
        return made[dropout]

    return model


def _document(model: Path, data: Path, *, world_size: int, stage: int, **train: Any) -> FineTune:
    method, offload = train.pop("method", "full"), train.pop("offload", {})
    return document(
        model,
        data,
        train={"epochs": 2, "micro_batch_size": 2, **train},
        scale={"num_workers": world_size, "zero": {"stage": stage, **offload}},
        method={"type": method},
        checkpoint={"every_steps": 3},
    )


def _weights(run: GlooRun, directory: Path) -> dict[str, torch.Tensor]:
    manifest = checkpoints.newest(run.objects, run.run)
    assert manifest is not None
    names = [entry.path for entry in manifest.files if entry.path.endswith(".safetensors")]
    names = [name for name in names if not paths.is_state(name)]
    checkpoints.fetch(run.objects, manifest, names, directory)
    return load_file(directory / names[0])


def _restored(run: GlooRun) -> list[int]:
    """The steps from which the run went on."""
    return [event.fields["step"] for event in events.read_events(run.objects, run.run) if event.kind == "restored"]


def _is_ledger_exact(run: GlooRun) -> bool:
    manifest = checkpoints.newest(run.objects, run.run)
    assert manifest is not None
    return ledger.examine(run.objects, run.run, manifest.id).is_exact


@pytest.mark.parametrize("precision", ["fp32", pytest.param("bf16", marks=pytest.mark.slow)])
@pytest.mark.parametrize("method", ["full", "lora"])
@pytest.mark.parametrize("stage", [0, 1, 2, 3])
def test_bit_equal_with_as_many_workers(
    gloo_workers: Workers,
    model: Callable[[float], Path],
    data: Path,
    cache: Path,
    tmp_path: Path,
    stage: int,
    method: str,
    precision: str,
) -> None:
    """With dropout, in the middle of an epoch and of a checkpoint interval, twice."""
    wanted = _document(model(0.1), data, world_size=2, stage=stage, method=method, precision=precision)

    _assert_bit_equal_after_two_failures(gloo_workers(2), wanted, cache, tmp_path)


OPTIMIZERS = [
    {"type": "adam"},
    {"type": "rmsprop", "momentum": 0.9},
    {"type": "sgd", "momentum": 0.9},
]


@pytest.mark.parametrize(
    "optimizer",
    [
        pytest.param(each, id=str(each["type"]), marks=[pytest.mark.slow] * (number > 0))
        for number, each in enumerate(OPTIMIZERS)
    ],
)
def test_bit_equal_with_other_optimizers(
    gloo_workers: Workers,
    model: Callable[[float], Path],
    data: Path,
    cache: Path,
    tmp_path: Path,
    optimizer: dict[str, Any],
) -> None:
    """What each keeps of the steps before has names of its own."""
    wanted = _document(model(0.1), data, world_size=2, stage=2, optimizer=optimizer)

    _assert_bit_equal_after_two_failures(gloo_workers(2), wanted, cache, tmp_path)


@pytest.mark.slow  # four attempts each
@pytest.mark.parametrize(
    ("stage", "offload"),
    [(2, {"offload_optimizer": True}), (3, {"offload_optimizer": True, "offload_parameters": True})],
    ids=["the optimizer", "optimizer and parameters"],
)
def test_bit_equal_with_offload(
    gloo_workers: Workers,
    model: Callable[[float], Path],
    data: Path,
    cache: Path,
    tmp_path: Path,
    stage: int,
    offload: dict[str, bool],
) -> None:
    """DeepSpeed keeps the state elsewhere, also where the workers are on CPUs."""
    wanted = _document(model(0.1), data, world_size=2, stage=stage, offload=offload)

    _assert_bit_equal_after_two_failures(gloo_workers(2), wanted, cache, tmp_path)


def _assert_bit_equal_after_two_failures(workers: GlooWorkers, wanted: FineTune, cache: Path, tmp_path: Path) -> None:
    undisturbed = GlooRun(tmp_path / "undisturbed", cache)
    expected = undisturbed.attempt(workers, wanted)
    disturbed = GlooRun(tmp_path / "disturbed", cache)
    disturbed.fail(workers, wanted, in_step=5)
    disturbed.fail(workers, wanted, in_step=6)

    trained = disturbed.attempt(workers, wanted)

    assert _restored(disturbed) == [3, 6]
    assert len(trained.losses) == 14
    assert trained.losses == expected.losses
    assert trained.gradient_norms == expected.gradient_norms
    assert trained.outcome["metrics"] == expected.outcome["metrics"]
    ours, theirs = _weights(disturbed, tmp_path / "a"), _weights(undisturbed, tmp_path / "b")
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert _is_ledger_exact(disturbed)


CROSSINGS = [
    *((before, after, stage, stage) for before, after in [(1, 2), (2, 1), (3, 2), (2, 3)] for stage in (0, 1, 2, 3)),
    *((2, 2, one, other) for one in (0, 1, 2, 3) for other in (0, 1, 2, 3) if one != other),
]
SLOW_CROSSINGS = [(4, 2, stage, stage) for stage in (0, 1, 2, 3)]  # seven processes of torch


@pytest.mark.parametrize("method", ["full", pytest.param("lora", marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("before", "after", "stage_before", "stage_after"),
    [*CROSSINGS, *(pytest.param(*each, marks=pytest.mark.slow) for each in SLOW_CROSSINGS)],
    ids=[f"{a} to {b} workers, stage {s} to {t}" for a, b, s, t in (*CROSSINGS, *SLOW_CROSSINGS)],
)
def test_equal_with_other_workers_and_stages(
    gloo_workers: Workers,
    model: Callable[[float], Path],
    data: Path,
    cache: Path,
    tmp_path: Path,
    reference: Callable[[str], Trained],
    before: int,
    after: int,
    stage_before: int,
    stage_after: int,
    method: str,
) -> None:
    run = GlooRun(tmp_path / "storage", cache)
    first = _document(model(0.0), data, world_size=before, stage=stage_before, method=method)
    second = _document(model(0.0), data, world_size=after, stage=stage_after, method=method)
    run.fail(gloo_workers(before), first, in_step=5)

    trained = run.attempt(gloo_workers(after), second)

    assert _restored(run) == [3]
    assert trained.losses == pytest.approx(reference(method).losses, rel=1e-5)
    assert trained.gradient_norms == pytest.approx(reference(method).gradient_norms, rel=1e-3)
    assert _is_ledger_exact(run)


@pytest.fixture(scope="module")
def reference(
    gloo_workers: Workers,
    model: Callable[[float], Path],
    data: Path,
    cache: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[[str], Trained]:
    """One worker at stage 0, undisturbed."""
    done: dict[str, Trained] = {}

    def reference(method: str) -> Trained:
        if method not in done:
            run = GlooRun(tmp_path_factory.mktemp("reference"), cache)
            done[method] = run.attempt(
                gloo_workers(1), _document(model(0.0), data, world_size=1, stage=0, method=method)
            )
        return done[method]

    return reference
