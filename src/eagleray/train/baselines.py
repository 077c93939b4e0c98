"""What no learning at all would score: the answer that the labels' frequencies alone give, whatever the input."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from eagleray.data.tokenized import Split

CHUNK_ROWS = 10_000
SMALLEST = 1e-9


def prior(train: Split, *, num_labels: int) -> Callable[..., Any] | None:
    """Return a model that answers every row with the log frequencies of the training labels.

    Its first choice is the majority class; for several labels a row it is each label's own majority, for numbers the
    mean. None where the task has no label.
    """
    first = train.samples(np.array([0]))[0].get("label")
    if first is None:
        return None
    frequencies = _mean(train, width=num_labels if np.ndim(first) == 0 and num_labels else 0)
    if num_labels == 0:
        logits = frequencies
    elif np.ndim(first) == 0:
        logits = np.log(np.maximum(frequencies, SMALLEST))
    else:
        logits = np.log(np.maximum(frequencies, SMALLEST) / np.maximum(1.0 - frequencies, SMALLEST))
    row = torch.from_numpy(logits).float()

    def forward(**inputs: torch.Tensor) -> SimpleNamespace:
        first = next(iter(inputs.values()))
        return SimpleNamespace(logits=row.to(first.device).expand(len(first), -1))

    return forward


def _mean(train: Split, *, width: int) -> np.ndarray:
    """The mean label; class indices are taken as one-hot rows of `width`."""
    total: Any = 0.0
    for start in range(0, len(train), CHUNK_ROWS):
        rows = np.arange(start, min(start + CHUNK_ROWS, len(train)))
        labels = np.array([sample["label"] for sample in train.samples(rows)])
        part = np.bincount(labels, minlength=width) if width else labels.reshape(len(rows), -1).sum(axis=0)
        total = total + part.astype(np.float64)
    return np.asarray(total / len(train))
