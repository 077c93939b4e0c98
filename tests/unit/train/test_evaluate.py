"""Metrics by language: exact, however the rows are spread over ranks and micro batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from eagleray.tasks.base import Batch
from eagleray.tasks.text_classification import TextClassification
from eagleray.train.evaluate import evaluate
from eagleray.train.group import Group

TASK = TextClassification("single-label", labels=("ham", "spam"))
NUM_ROWS = 41
LABELS = np.arange(NUM_ROWS) % 2
ANSWERS = np.where(np.arange(NUM_ROWS) % 5 == 0, 1 - LABELS, LABELS)
LANGUAGES = np.where(np.arange(NUM_ROWS) < 30, 0, 2).astype(np.int16)  # none is in the second


@dataclass(frozen=True, slots=True)
class Split:
    """Rows as long as their number, whose label is its last bit."""

    languages: np.ndarray | None = field(default_factory=lambda: LANGUAGES)

    @property
    def lengths(self) -> np.ndarray:
        return np.arange(NUM_ROWS, dtype=np.int32) + 1

    def __len__(self) -> int:
        return NUM_ROWS

    def samples(self, rows: np.ndarray) -> list[dict[str, Any]]:
        return [{"input_ids": [int(row)], "label": int(LABELS[row])} for row in rows]


@dataclass(slots=True)
class Ranks:
    """Adds what each rank in turn hands in; the last one's answer is that of all."""

    kept: list[torch.Tensor] = field(default_factory=list)

    def of(self, rank: int, world_size: int) -> Group:
        ranks = self

        class Rank(Group):
            def sum(self, values: torch.Tensor) -> torch.Tensor:
                ranks.kept.append(values.clone())
                return torch.stack(ranks.kept).sum(dim=0)

        return Rank(rank=rank, world_size=world_size, num_local=world_size, device=torch.device("cpu"))


def forward(**inputs: torch.Tensor) -> SimpleNamespace:
    answers = torch.from_numpy(ANSWERS)[inputs["input_ids"][:, 0]]
    return SimpleNamespace(logits=torch.nn.functional.one_hot(answers, 2).float() * 3)


def collate(samples: Sequence[dict[str, Any]], weights: np.ndarray) -> Batch:
    return TASK.collate(list(samples), weights=weights, pad_id=0, max_length=8)


def measured(split: Split, *, world_size: int, micro_batch_size: int, languages: tuple[str, ...]) -> dict[str, Any]:
    ranks, found = Ranks(), {}
    for rank in range(world_size):
        found = evaluate(
            forward,
            task=TASK,
            split=split,  # type: ignore[arg-type]
            collate=collate,
            micro_batch_size=micro_batch_size,
            group=ranks.of(rank, world_size),
            languages=languages,
        )
    return found


@pytest.mark.parametrize(("world_size", "micro_batch_size"), [(1, 64), (1, 3), (2, 4), (3, 5), (4, 16)])
def test_metrics_of_each_language_and_of_all(world_size: int, micro_batch_size: int) -> None:
    found = measured(Split(), world_size=world_size, micro_batch_size=micro_batch_size, languages=("de", "en", "zh"))
    plain = measured(Split(languages=None), world_size=1, micro_batch_size=8, languages=())
    by_language = found.pop("per_language")
    assert found["confusion_matrix"] == plain["confusion_matrix"]
    for metric in ("loss", "accuracy", "f1_macro", "matthews", "calibration_error"):
        assert found[metric] == pytest.approx(plain[metric])
    right = ANSWERS == LABELS
    assert {name: (each["rows"], each["accuracy"]) for name, each in by_language.items()} == {
        "de": (30, pytest.approx(right[:30].mean())),
        "zh": (11, pytest.approx(right[30:].mean())),
    }
