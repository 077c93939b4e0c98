"""What is drawn for samples, and what the model of the start said of them, is the same after a failure and with other
workers: two of them fail in the second epoch, one goes on, and the losses are those of one that was never disturbed.

Slow parts are real: which micro batch a sample is in changes with the workers, and only a whole run shows that it does
not matter.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from eagleray.spec.finetune import FineTune
from eagleray.store import checkpoints, ledger
from tests.support import tiny_images, tiny_models
from tests.support.gloo import GlooWorkers
from tests.support.training import GlooRun, document, write_reviews

NUM_ROWS = 50  # 40 to train on: five steps of 8 an epoch


def _masked(scratch: Path) -> tuple[Path, Path, dict[str, Any]]:
    write_reviews(scratch / "rows.jsonl", num_rows=NUM_ROWS)
    return tiny_models.save_encoder(scratch / "model", dropout=0.0), scratch / "rows.jsonl", {"type": "masked-lm"}


def _pairs(scratch: Path) -> tuple[Path, Path, dict[str, Any]]:
    rows = ({"sentences": [f"scene {n} is fine", f"end {n} is dull"]} for n in range(NUM_ROWS))
    (scratch / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    task = {"type": "next-sentence", "with_masked_lm": True, "mask_share": 0.4}
    return tiny_models.save_encoder(scratch / "model", dropout=0.0), scratch / "rows.jsonl", task


def _images(scratch: Path) -> tuple[Path, Path, dict[str, Any]]:
    folders = tiny_images.write_folders(scratch / "pictures", num_each=NUM_ROWS // 2)
    model = tiny_images.save_model(scratch / "model")
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(
        json.dumps({**config, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0})
    )
    return model, folders, {"type": "image-classification", "augment": {"crop": 0.6, "flip": True}}


def _preferences(scratch: Path) -> tuple[Path, Path, dict[str, Any]]:
    rows = ({"prompt": f"film {n} is", "chosen": " fine and warm", "rejected": " dull"} for n in range(NUM_ROWS))
    (scratch / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    task = {"type": "causal-lm", "format": "completion", "objective": {"type": "dpo"}}
    return tiny_models.save_decoder(scratch / "model"), scratch / "rows.jsonl", task


def _document(parts: tuple[Path, Path, dict[str, Any]], *, num_workers: int, stage: int, method: str) -> FineTune:
    model, data, task = parts
    return document(
        model,
        data,
        task=task,
        train={"epochs": 2, "micro_batch_size": 2, "learning_rate": 5e-3},
        scale={"num_workers": num_workers, "zero": {"stage": stage}},
        method={"type": method},
        checkpoint={"every_steps": 3},
    )


@pytest.mark.parametrize(
    ("make", "stage", "method"),
    [
        pytest.param(_masked, 0, "full", id="masked-lm"),
        pytest.param(_pairs, 1, "full", id="next-sentence with masked-lm"),
        pytest.param(_images, 0, "full", id="images with augmentation"),
        pytest.param(_images, 2, "lora", id="images with adapters", marks=pytest.mark.slow),
        pytest.param(_preferences, 0, "full", id="preferences"),
        pytest.param(_preferences, 3, "lora", id="preferences with adapters, sharded", marks=pytest.mark.slow),
    ],
)
def test_resumed_by_other_workers(
    gloo_workers: Callable[[int], GlooWorkers],
    tmp_path: Path,
    make: Callable[[Path], tuple[Path, Path, dict[str, Any]]],
    stage: int,
    method: str,
) -> None:
    parts = make(tmp_path)
    alone = _document(parts, num_workers=1, stage=stage, method=method)
    expected = GlooRun(tmp_path / "undisturbed", tmp_path / "cache").attempt(gloo_workers(1), alone)
    run = GlooRun(tmp_path / "disturbed", tmp_path / "cache")
    run.fail(gloo_workers(2), _document(parts, num_workers=2, stage=stage, method=method), in_step=8)

    trained = run.attempt(gloo_workers(1), alone)

    assert len(set(expected.losses)) > 1
    assert trained.losses == pytest.approx(expected.losses, rel=1e-4)
    assert expected.losses[-1] < expected.losses[0]
    manifest = checkpoints.newest(run.objects, run.run)
    assert manifest is not None
    assert ledger.examine(run.objects, run.run, manifest.id).is_exact
