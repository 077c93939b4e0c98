"""Perplexity is the exponential of the mean over all target tokens, however they are spread over ranks."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from eagleray.metrics.perplexity import PerplexityMetrics
from eagleray.spec import reported


@pytest.mark.parametrize("num_ranks", [1, 2, 3])
def test_equals_cross_entropy_over_all_targets(num_ranks: int) -> None:
    torch.manual_seed(0)
    logits, targets = torch.randn(6, 9, 11), torch.randint(0, 11, (6, 9))
    weights = (torch.rand(6, 9) < 0.6).float()
    ranks = [PerplexityMetrics() for _ in range(num_ranks)]
    for row in range(6):
        counted = weights[row : row + 1] > 0
        loss = functional.cross_entropy(
            logits[row : row + 1][counted], targets[row : row + 1][counted], reduction="sum"
        )
        batch = {"targets": targets[row : row + 1], "target_weights": weights[row : row + 1]}
        ranks[row % num_ranks].update(loss.item(), logits[row : row + 1][counted], batch)
    for other in ranks[1:]:
        ranks[0].state.add_(other.state)

    found = ranks[0].compute()

    counted = weights > 0
    mean = functional.cross_entropy(logits[counted], targets[counted]).item()
    right = (logits.argmax(-1) == targets)[counted].float().mean().item()
    assert set(found) == set(reported.LANGUAGE_MODEL)
    assert found["loss"] == pytest.approx(mean, rel=1e-6)
    assert found["perplexity"] == pytest.approx(math.exp(mean), rel=1e-6)
    assert found["token_accuracy"] == pytest.approx(right)
    assert found["num_tokens"] == int(weights.sum())


def test_a_diverged_loss_stays_a_number_that_json_can_hold() -> None:
    metrics = PerplexityMetrics()
    metrics.state.copy_(torch.tensor([1e6, 1.0, 0.0]))

    assert math.isfinite(metrics.compute()["perplexity"])


def test_nothing_seen() -> None:
    assert PerplexityMetrics().compute() == {"loss": 0.0, "perplexity": 1.0, "token_accuracy": 0.0, "num_tokens": 0}
