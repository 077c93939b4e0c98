"""How do several models answer as one, wherever a model is asked? By logits that say what they say together.

So a task, a metric, an endpoint and the ONNX exporter take them for one model.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import nn
from torch.nn import functional

from eagleray.model import outputs

Combine = Literal["mean", "vote"]
Output = Literal["label", "labels", "value"]
"""What the logits are of: one label of several, several labels, or a number."""

_SMALLEST = 1e-9  # of a probability, whose logarithm must be a number
_TIE = 1e-3
"""How much the mean counts in a vote: of labels with as many votes the more probable is taken."""


class Ensemble(nn.Module):
    """Models with the same inputs and outputs. Its logits are such that their softmax, or sigmoid, is the mean of the
    members' probabilities, or the share of their votes."""

    def __init__(
        self, members: Sequence[nn.Module], *, weights: Sequence[float], combine: Combine, output: Output
    ) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self._shares = tuple(weight / sum(weights) for weight in weights)
        self._combine, self._output = combine, output

    def forward(self, **inputs: torch.Tensor) -> outputs.Output:
        """(…, outputs) float32, whatever is before the outputs."""
        logits = [member(**inputs).logits.float() for member in self.members]
        match self._output:
            case "value":
                return outputs.Output(self._mean(logits))
            case "label":
                return outputs.Output(self._likely([each.softmax(dim=-1) for each in logits], _one_vote).log())
            case "labels":
                likely = self._likely([each.sigmoid() for each in logits], _votes)
                return outputs.Output(likely.log() - (1 - likely).clamp_min(_SMALLEST).log())

    def _likely(self, probabilities: list[torch.Tensor], vote: Any) -> torch.Tensor:
        mean = self._mean(probabilities)
        if self._combine == "vote":
            mean = (1 - _TIE) * self._mean([vote(each) for each in probabilities]) + _TIE * mean
        return mean.clamp_min(_SMALLEST)

    def _mean(self, values: Sequence[torch.Tensor]) -> torch.Tensor:
        weighted = [share * value for share, value in zip(self._shares, values, strict=True)]
        return torch.stack(weighted).sum(dim=0)


def _one_vote(probabilities: torch.Tensor) -> torch.Tensor:
    return functional.one_hot(probabilities.argmax(dim=-1), probabilities.shape[-1]).to(probabilities.dtype)


def _votes(probabilities: torch.Tensor) -> torch.Tensor:
    return (probabilities > 0.5).to(probabilities.dtype)
