"""How well does a model know what follows, and the words that are hidden beside?"""

from __future__ import annotations

import math
from typing import Any

import torch

from eagleray.metrics.classification import SingleLabelMetrics
from eagleray.metrics.perplexity import LARGEST_EXPONENT


class MaskedNextSentenceMetrics:
    """State: that of SingleLabelMetrics; then, over hidden tokens, their loss, how many were named right, their number.

    The logits are (rows, classes + 3): after those of the classes the same three sums of each row.
    """

    def __init__(self, labels: tuple[str, ...]) -> None:
        self._classes = SingleLabelMetrics(labels)
        self._num_classes = len(labels)
        self.state = torch.zeros(len(self._classes.state) + 3, dtype=torch.float64)
        self._classes.state = self.state[:-3]  # a view: what is added to one is in the other

    def update(self, loss_sum: float, logits: torch.Tensor, batch: dict[str, torch.Tensor]) -> None:
        """Add rows; `loss_sum` is of both losses together."""
        self._classes.update(loss_sum, logits[:, : self._num_classes], batch)
        words = logits[:, self._num_classes :].detach().to("cpu", torch.float64)
        self.state[-3:] += batch["weights"].to("cpu", torch.float64) @ words

    def compute(self) -> dict[str, Any]:
        """Those of the classes; `perplexity` and `token_accuracy` are of the hidden tokens."""
        loss_sum, right, num_tokens = self.state[-3:].tolist()
        return self._classes.compute() | {
            "perplexity": math.exp(min(loss_sum / max(num_tokens, 1.0), LARGEST_EXPONENT)),
            "token_accuracy": right / max(num_tokens, 1.0),
            "num_tokens": round(num_tokens),
        }
