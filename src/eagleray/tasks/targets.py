"""What is the loss of a model that has to name tokens, over the places of a batch where it has to?

A batch says it by `targets` (rows, length) int64, the token of each place, and `target_weights` (rows, length) float32,
0 where there is none.
"""

from __future__ import annotations

import torch
from torch.nn import functional

from eagleray.tasks.base import Batch


def summed_loss(logits: torch.Tensor, batch: Batch, *, label_smoothing: float) -> tuple[torch.Tensor, torch.Tensor]:
    """The weighted sum of the losses, and the logits of the counted places alone: (targets, vocabulary).

    They are chosen before the cast to fp32: with long prompts most of a batch's logits are never needed, and with a
    vocabulary of 50,000 they are by far the largest tensor of a step.
    """
    counted = batch["target_weights"] > 0
    chosen = logits[counted]
    losses = functional.cross_entropy(
        chosen.float(), batch["targets"][counted], reduction="none", label_smoothing=label_smoothing
    )
    return (losses * batch["target_weights"][counted]).sum(), chosen


def summed_loss_of_all(
    logits: torch.Tensor, batch: Batch, *, label_smoothing: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """The same where nearly every place counts, and the logits as they are: (rows, length, vocabulary).

    None are chosen, so neither are they copied nor their gradients scattered: half of the loss' time.
    """
    losses = functional.cross_entropy(
        logits.flatten(0, 1).float(), batch["targets"].flatten(), reduction="none", label_smoothing=label_smoothing
    )
    return (losses * batch["target_weights"].flatten()).sum(), logits


def row_sums(logits: torch.Tensor, batch: Batch) -> torch.Tensor:
    """A row's summed loss over its targets, (rows,) float32, with gradient."""
    counted = batch["target_weights"] > 0
    losses = functional.cross_entropy(logits[counted].float(), batch["targets"][counted], reduction="none")
    return torch.zeros(len(counted), device=losses.device).index_add(0, rows_of(counted), losses)


def rows_of(counted: torch.Tensor) -> torch.Tensor:
    """The row of each place that counts. Chosen by the mask, as logits are: so it can be traced without values too."""
    numbers = torch.arange(len(counted), device=counted.device).unsqueeze(1)
    return numbers.expand_as(counted)[counted]


def row_means(logits: torch.Tensor, batch: Batch) -> torch.Tensor:
    """A row's mean loss over its targets, (rows,) on the CPU; 0 where it has none. `logits` are of either sum."""
    counted = batch["target_weights"] > 0
    chosen = logits[counted] if logits.dim() == 3 else logits
    counts = counted.sum(dim=1).tolist()
    parts = zip(torch.split(chosen, counts), torch.split(batch["targets"][counted], counts), strict=True)
    # Row by row: the logits of a whole batch in fp32 are the largest tensor of an evaluation already.
    means = [functional.cross_entropy(row.float(), targets) if len(row) else row.sum() for row, targets in parts]
    return torch.stack(means).float().cpu()
