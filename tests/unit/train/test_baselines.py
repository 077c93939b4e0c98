"""What the labels' frequencies alone answer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from eagleray.train.baselines import prior


class _Split:
    """Samples with the given labels."""

    def __init__(self, labels: list[Any]) -> None:
        self._labels = labels

    def __len__(self) -> int:
        return len(self._labels)

    def samples(self, indices: np.ndarray) -> list[dict[str, Any]]:
        return [{} if self._labels[i] is None else {"label": self._labels[i]} for i in indices]


def _answer(labels: list[Any], num_labels: int) -> torch.Tensor:
    model = prior(_Split(labels), num_labels=num_labels)  # type: ignore[arg-type]
    assert model is not None
    logits: torch.Tensor = model(input_ids=torch.zeros(2, 5, dtype=torch.int64)).logits
    assert torch.equal(logits[0], logits[1]), "the same for every input"
    return logits[0]


def test_single_label_gives_the_frequencies() -> None:
    assert _answer([0, 2, 2, 2], 4).softmax(dim=0).tolist() == pytest.approx([0.25, 0, 0.75, 0], abs=1e-6)


def test_multi_label_gives_each_frequency() -> None:
    labels = [np.array([1, 0, 1]), np.array([1, 0, 0])]

    assert _answer(labels, 3).sigmoid().tolist() == pytest.approx([1, 0, 0.5], abs=1e-6)


def test_number_gives_the_mean() -> None:
    assert _answer([1.0, 2.0, 6.0], 0).tolist() == pytest.approx([3.0])


def test_no_label_gives_nothing() -> None:
    assert prior(_Split([None]), num_labels=0) is None  # type: ignore[arg-type]
