"""The loss over all places is that over those that count, and so is what follows from it."""

from __future__ import annotations

import pytest
import torch

from eagleray.metrics.perplexity import PerplexityMetrics
from eagleray.tasks import targets
from eagleray.tasks.base import Batch


@pytest.fixture
def batch() -> Batch:
    weights = torch.tensor([[1.0, 1.0, 0.0], [0.0, 2.0, 0.0]])
    return {"targets": torch.tensor([[1, 4, 0], [2, 3, 3]]), "target_weights": weights}


@pytest.fixture
def logits() -> torch.Tensor:
    return torch.randn(2, 3, 5, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("label_smoothing", [0.0, 0.2])
def test_loss_and_gradient(batch: Batch, logits: torch.Tensor, label_smoothing: float) -> None:
    found = []
    for summed in (targets.summed_loss, targets.summed_loss_of_all):
        given = logits.clone().requires_grad_()
        loss, _ = summed(given, batch, label_smoothing=label_smoothing)
        loss.backward()
        found.append((loss.detach(), given.grad))

    torch.testing.assert_close(found[0], found[1])


def test_metrics_and_rows(batch: Batch, logits: torch.Tensor) -> None:
    computed, rows = [], []
    for summed in (targets.summed_loss, targets.summed_loss_of_all):
        metrics = PerplexityMetrics()
        loss, said = summed(logits, batch, label_smoothing=0.0)
        metrics.update(loss.item(), said, batch)
        computed.append(metrics.compute())
        rows.append(targets.row_means(said, batch))

    assert computed[0] == pytest.approx(computed[1])
    torch.testing.assert_close(rows[0], rows[1])
