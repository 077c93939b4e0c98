"""A head that is given the state at one token answers as the whole model does, in every precision."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from eagleray.tasks.base import Batch
from eagleray.train import features, inputs
from eagleray.train.inputs import Inputs
from eagleray.train.loading import Loader
from tests.support import tiny_models
from tests.support.training import document, write_reviews


def _collate(loaded: Inputs) -> Callable[[list[dict[str, Any]], np.ndarray], Batch]:
    def collate(samples: list[dict[str, Any]], weights: np.ndarray) -> Batch:
        pad_id = loaded.tokenizer.pad_token_id
        batch = loaded.task.collate(samples, weights=weights, pad_id=pad_id, packed=False, max_length=32)
        if features.COLUMN in samples[0]:
            batch[features.COLUMN] = torch.from_numpy(np.stack([sample[features.COLUMN] for sample in samples]))
        return batch

    return collate


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("save", [tiny_models.save_encoder, tiny_models.save_decoder], ids=["encoder", "decoder"])
def test_the_head_answers_as_the_model_does(tmp_path: Path, save: Callable[[Path], Path], precision: str) -> None:
    write_reviews(tmp_path / "rows.jsonl", num_rows=40)
    spec = document(save(tmp_path / "model"), tmp_path / "rows.jsonl", train={"precision": precision}).spec
    loaded = inputs.load(spec, cache_dir=tmp_path / "cache")
    model = Loader().pretrained(spec, loaded).eval()
    collate, rows = _collate(loaded), np.arange(20)
    plain = collate(loaded.data.train.samples(rows), np.ones(20))
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.startswith(("classifier", "score")):
                weight.mul_(100)  # answers that differ from row to row
        expected = model(input_ids=plain["input_ids"], attention_mask=plain["attention_mask"]).logits

        attached = features.attach(loaded, model, collate=collate, cache_dir=tmp_path / "cache")

        batch = collate(attached.data.train.samples(rows), np.ones(20))
        found = model(**{name: batch[name] for name in ("features", "input_ids", "attention_mask")}).logits
    assert torch.allclose(found.float(), expected.float(), atol=0.05 if precision == "bf16" else 1e-5)
    assert expected.float().std(dim=0).max() > 0.001
