"""Rates by layer, penalties, averaged weights and a rate that falls are exact through a restart and at every stage.

What a fast test could not show is where DeepSpeed holds the weights that the optimizer's hooks see.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from eagleray.spec.finetune import FineTune
from eagleray.store import checkpoints
from tests.support import tiny_models
from tests.support.gloo import GlooWorkers
from tests.support.training import GlooRun, Trained, document, write_reviews

Workers = Callable[[int], GlooWorkers]
OPTIONS: dict[str, dict[str, Any]] = {
    "all at once": {
        "layer_decay": 0.8,
        "l1": 1e-4,
        "l2": 1e-3,
        "averaging": {"type": "ema", "decay": 0.9},
        "schedule": {"type": "reduce-on-plateau", "patience": 1, "min_delta": 1.0},
    },
    "swa": {"averaging": {"type": "swa", "start": 0.3}, "schedule": {"type": "one-cycle"}, "r_drop": 1.0},
    "mixup": {"mixup": 0.4},
}


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    data = tmp_path_factory.mktemp("data") / "reviews.jsonl"
    write_reviews(data, num_rows=50)
    encoder = tiny_models.save_encoder(tmp_path_factory.mktemp("encoder"), dropout=0.0)
    return encoder, data, tmp_path_factory.mktemp("cache")


def _document(sources: tuple[Path, Path, Path], options: str, *, num_workers: int, stage: int) -> FineTune:
    return document(
        *sources[:2],
        train={"epochs": 2, "micro_batch_size": 4, "evaluate_every_steps": 2, **OPTIONS[options]},
        method={"type": "freeze", "thaw": 0.5},
        scale={"num_workers": num_workers, "zero": {"stage": stage}},
        checkpoint={"every_steps": 3},
    )


@pytest.fixture(scope="module")
def alone(
    gloo_workers: Workers, sources: tuple[Path, Path, Path], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], tuple[Trained, dict[str, torch.Tensor]]]:
    """One worker at stage 0, undisturbed, and the model of its last checkpoint."""
    done: dict[str, tuple[Trained, dict[str, torch.Tensor]]] = {}

    def alone(options: str) -> tuple[Trained, dict[str, torch.Tensor]]:
        if options not in done:
            run = GlooRun(tmp_path_factory.mktemp("alone"), sources[2])
            trained = run.attempt(gloo_workers(1), _document(sources, options, num_workers=1, stage=0))
            done[options] = trained, _newest(run, tmp_path_factory.mktemp("weights"))
        return done[options]

    return alone


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("stage", [0, pytest.param(1, marks=pytest.mark.slow), 2, 3])
def test_exact_through_a_restart(
    gloo_workers: Workers,
    sources: tuple[Path, Path, Path],
    alone: Callable[[str], tuple[Trained, dict[str, torch.Tensor]]],
    tmp_path: Path,
    options: str,
    stage: int,
) -> None:
    expected, weights = alone(options)
    wanted = _document(sources, options, num_workers=2, stage=stage)
    run = GlooRun(tmp_path / "storage", sources[2])
    run.fail(gloo_workers(2), wanted, in_step=5)

    trained = run.attempt(gloo_workers(2), wanted)

    assert trained.losses == pytest.approx(expected.losses, rel=1e-4)
    assert [row["learning_rate"] for row in trained.steps if "loss" in row] == pytest.approx(
        [row["learning_rate"] for row in expected.steps if "loss" in row]
    )
    found = _newest(run, tmp_path / "weights")
    assert found.keys() == weights.keys()
    for name, weight in weights.items():
        torch.testing.assert_close(found[name], weight, rtol=1e-3, atol=1e-5)


def test_restart_is_exact_to_the_last_bit(
    gloo_workers: Workers, sources: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    wanted = _document(sources, "all at once", num_workers=2, stage=2)
    undisturbed, disturbed = (GlooRun(tmp_path / name, sources[2]) for name in ("undisturbed", "disturbed"))
    expected = undisturbed.attempt(gloo_workers(2), wanted)
    disturbed.fail(gloo_workers(2), wanted, in_step=5)

    trained = disturbed.attempt(gloo_workers(2), wanted)

    assert trained.losses == expected.losses
    assert trained.outcome["metrics"] == expected.outcome["metrics"]
    ours, theirs = _newest(disturbed, tmp_path / "a"), _newest(undisturbed, tmp_path / "b")
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def _newest(run: GlooRun, directory: Path) -> dict[str, torch.Tensor]:
    manifest = checkpoints.newest(run.objects, run.run)
    assert manifest is not None
    checkpoints.fetch(run.objects, manifest, ["model.safetensors"], directory)
    return load_file(directory / "model.safetensors")
