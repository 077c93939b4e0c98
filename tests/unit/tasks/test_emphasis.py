"""Focal loss and weights of labels, against their definitions."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from eagleray.tasks import emphasis
from eagleray.tasks.emphasis import Emphasis
from eagleray.tasks.problems import MultiLabel, SingleLabel

LOGITS = torch.tensor([[2.0, -1.0, 0.5], [0.0, 0.3, -2.0], [1.0, 1.0, 1.0]])
LABELS = torch.tensor([0, 2, 1])
SEVERAL = torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, 0.0], [1.0, 1.0, 0.0]])
NAMES = ("a", "b", "c")


def test_one_label() -> None:
    problem = SingleLabel(NAMES)
    known = LOGITS.softmax(-1).gather(1, LABELS[:, None])[:, 0]
    weights = torch.tensor([1.0, 4.0, 0.5])
    plain = problem.losses(LOGITS, LABELS)
    focal = problem.losses(LOGITS, LABELS, emphasis=Emphasis(gamma=2.0))
    both = problem.losses(LOGITS, LABELS, emphasis=Emphasis(gamma=2.0, weights=(1.0, 4.0, 0.5)))
    assert torch.allclose(focal, -known.log() * (1 - known) ** 2)
    assert torch.allclose(both, focal * weights[LABELS])
    weighted = problem.losses(LOGITS, LABELS, emphasis=Emphasis(weights=(1.0, 4.0, 0.5)))
    assert torch.allclose(weighted, functional.cross_entropy(LOGITS, LABELS, weight=weights, reduction="none"))
    assert torch.equal(problem.losses(LOGITS, LABELS, emphasis=Emphasis()), plain)


def test_several_labels() -> None:
    problem = MultiLabel(NAMES)
    weights = torch.tensor([1.0, 4.0, 0.5])
    expected = functional.binary_cross_entropy_with_logits(LOGITS, SEVERAL, pos_weight=weights, reduction="none")
    found = problem.losses(LOGITS, SEVERAL, emphasis=Emphasis(weights=(1.0, 4.0, 0.5)))
    assert torch.allclose(found, expected.mean(-1))
    known = torch.where(SEVERAL > 0, LOGITS.sigmoid(), 1 - LOGITS.sigmoid())
    focal = problem.losses(LOGITS, SEVERAL, emphasis=Emphasis(gamma=1.5))
    assert torch.allclose(focal, (-known.log() * (1 - known) ** 1.5).mean(-1))


def test_balanced_weights_have_mean_one_over_the_rows() -> None:
    weights = emphasis.balanced(NAMES, {"a": 90, "c": 10})
    assert weights == pytest.approx((100 / 180, 1.0, 5.0))
    assert weights[0] * 90 + weights[2] * 10 == pytest.approx(100)


def test_named_weights() -> None:
    assert emphasis.named(NAMES, {"b": 3.0}) == (1.0, 3.0, 1.0)
    with pytest.raises(ValueError, match="'d' is no label of the data: 'a', 'b', 'c' are"):
        emphasis.named(NAMES, {"d": 2.0})
