"""The rows of the highest loss: the same ones however they are spread, in bounded memory, in the task's words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch

from eagleray.store.mistakes import KEPT, MAX_CHARACTERS
from eagleray.tasks.causal_lm import CausalLm
from eagleray.tasks.text_classification import TextClassification
from eagleray.train.group import Group
from eagleray.train.worst import Doubts, Worst

TASK = TextClassification("single-label", labels=("ham", "spam"))
NUM_ROWS = 3 * KEPT


class Split:
    """Rows that are as long as their number."""

    def __len__(self) -> int:
        return NUM_ROWS

    def row(self, index: int) -> dict[str, Any]:
        return {"text": f"row {index} {'x' * 10 * index}", "label": "ham"}

    def place(self, index: int) -> str:
        return f"reviews.jsonl:{index + 1}"


@dataclass(frozen=True, slots=True)
class Ranks(Group):
    """A group of which all ranks' answers are known."""

    others: tuple[Any, ...] = ()

    def exchange(self, value: Any) -> list[Any]:
        return [value, *self.others]


def _seen(rows: list[int], *, weight: float = 1.0) -> Worst:
    """Row n has n / 10 as its logit of the wrong label; the last of the rows is of weight `weight`."""
    worst = Worst(TASK)
    for start in range(0, len(rows), 7):
        batch = rows[start : start + 7]
        weights = np.ones(len(batch), dtype=np.float32)
        weights[-1] = weight if start + 7 >= len(rows) else 1.0
        logits = torch.tensor([[0.0, row / 10] for row in batch])
        worst.add(np.array(batch), weights, logits, {"labels": torch.zeros(len(batch), dtype=torch.int64)})
    return worst


@pytest.mark.parametrize("num_ranks", [1, 2, 3])
def test_the_worst_rows_of_all_ranks(num_ranks: int) -> None:
    order = np.random.default_rng(1).permutation(NUM_ROWS).tolist()
    first, *others = [_seen(order[rank::num_ranks]) for rank in range(num_ranks)]
    group = Ranks(0, num_ranks, num_ranks, torch.device("cpu"), others=tuple(each._heap for each in others))

    record = first.record(Split(), name="test", step=9, group=group)  # type: ignore[arg-type]

    assert record is not None
    assert [each.index for each in record.mistakes] == list(range(NUM_ROWS - 1, NUM_ROWS - 1 - KEPT, -1))
    top = record.mistakes[0]
    assert (top.label, top.answer, top.is_wrong, top.place) == ("ham", "spam", True, f"reviews.jsonl:{NUM_ROWS}")
    assert top.loss == pytest.approx(-np.log(top.label_probability), rel=1e-3)
    assert top.answer_probability == pytest.approx(1 - top.label_probability)
    assert len(top.text) == MAX_CHARACTERS
    assert (record.split, record.step, record.num_rows) == ("test", 9, NUM_ROWS)


def test_filler_and_losses_without_a_value_do_not_count() -> None:
    group = Ranks(0, 1, 1, torch.device("cpu"))
    worst = _seen([3, 149], weight=0.0)
    worst.add(np.array([7]), np.ones(1), torch.tensor([[0.0, float("nan")]]), {"labels": torch.tensor([0])})

    record = worst.record(Split(), name="test", step=9, group=group)  # type: ignore[arg-type]

    assert record is not None
    assert [each.index for each in record.mistakes] == [3]


def test_of_equal_losses_the_first_rows_stay() -> None:
    worst = Worst(TASK)
    rows = list(range(NUM_ROWS))
    for row in reversed(rows):
        worst.add(np.array([row]), np.ones(1), torch.zeros(1, 2), {"labels": torch.tensor([0])})

    record = worst.record(Split(), name="test", step=1, group=Ranks(0, 1, 1, torch.device("cpu")))  # type: ignore[arg-type]

    assert record is not None
    assert {each.index for each in record.mistakes} == set(rows[:KEPT])


def test_texts_count_by_the_mean_of_their_targets_and_packed_rows_not_at_all() -> None:
    logits = torch.tensor([[9.0, 0.0], [9.0, 0.0], [0.0, 9.0]])
    batch = {
        "targets": torch.tensor([[0, 0], [0, 1], [0, 0]]),
        "target_weights": torch.tensor([[1.0, 1.0], [0.0, 0.0], [1.0, 0.0]]),
    }

    losses = CausalLm().row_losses(logits, batch)

    assert losses is not None
    assert losses.tolist() == pytest.approx([0.0, 0.0, 9.0], abs=1e-3)
    assert CausalLm().row_losses(logits, {**batch, "position_ids": torch.zeros(3, 2)}) is None


@pytest.mark.parametrize(
    ("labels", "seen"), [(("ham", "spam"), [4, 5]), ((), None)], ids=["labels", "nothing that could be wrong"]
)
def test_training_rows_are_looked_at_in_some_steps(labels: tuple[str, ...], seen: list[int] | None) -> None:
    doubts = Doubts(TextClassification("single-label", labels=labels), steps=range(4, 6))
    for step in range(1, 9):
        rows = np.array([step]), np.ones(1, dtype=np.float32)
        doubts.look(step, rows, torch.tensor([[0.0, 1.0]]), {"labels": torch.tensor([0])})

    found = None if doubts.worst is None else sorted(-index for _, index, _ in doubts.worst._heap)
    assert found == seen
