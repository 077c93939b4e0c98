"""A tiny trained classifier as an endpoint finds it: its files, with ONNX files among them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from eagleray.model import onnx
from eagleray.serving import loaded
from eagleray.store.objects import open_storage
from eagleray.tasks import trained
from tests.support.trained_runs import new_trained_run


def save_classifier(
    scratch: Path, *, task: dict[str, Any] | None = None, labels: tuple[str, ...] = ("bad", "good")
) -> Path:
    """A directory like that of a fetched version."""
    task = task or {"type": "text-classification"}
    run = new_trained_run(open_storage("memory://"), scratch, task=task, labels=labels)
    directory = scratch / f"model-{run}"
    model = trained.load(directory, device=torch.device("cpu"))
    fp32, int8 = (directory / loaded.onnx_file(precision) for precision in ("fp32", "int8"))
    onnx.export(model.model, example(pair=bool(task.get("text_pair"))), fp32)
    onnx.quantise(fp32, int8)
    return directory


def example(*, pair: bool = False) -> dict[str, torch.Tensor]:
    """What a tiny encoder is called with: two rows of eight tokens, the second padded."""
    ids = torch.arange(5, 21).reshape(2, 8)
    mask = torch.ones_like(ids)
    mask[1, 5:] = 0
    inputs = {"input_ids": ids, "attention_mask": mask}
    return {**inputs, "token_type_ids": torch.zeros_like(ids)} if pair else inputs
