"""Which token comes next, for each row by its own rules?

A row's choice depends on its own logits and its own random number alone, so its neighbours in a batch change nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

_NUCLEUS = 256  # tokens looked at first: sorting all 49,152 of SmolLM2 takes 3 ms a row, a tenth of a step


@dataclass(frozen=True, slots=True)
class Draw:
    """How a row chooses: temperature 0 takes the likeliest token; `uniform` is its random number in [0, 1)."""

    temperature: float = 0.0
    top_p: float = 1.0
    uniform: float = 0.0


@dataclass(frozen=True, slots=True)
class Likelihood:
    """The natural logarithm of a token's probability, and the likeliest tokens with theirs."""

    logprob: float
    top: tuple[tuple[int, float], ...]


def choose(logits: torch.Tensor, draws: Sequence[Draw]) -> list[int]:
    """A token for each row of `logits`: (rows, vocabulary) float32."""
    chosen = logits.argmax(dim=-1)
    random = [row for row, draw in enumerate(draws) if draw.temperature > 0]
    if random:
        chosen[random] = _sample(logits[random], [draws[row] for row in random])
    return [int(token) for token in chosen.tolist()]


def are_finite(logits: torch.Tensor) -> list[bool]:
    """Whether there is a choice at all, for each row; single tokens may be excluded by -inf."""
    return [bool(fine) for fine in logits.amax(dim=-1).isfinite().tolist()]


def likelihoods(logits: torch.Tensor, chosen: Sequence[int], num_top: Sequence[int | None]) -> list[Likelihood | None]:
    """What the model itself gives each chosen token, before temperature and top_p; None where none is asked for."""
    asked = [row for row, number in enumerate(num_top) if number is not None]
    found: list[Likelihood | None] = [None] * len(chosen)
    if not asked:
        return found
    logprobs = logits[asked].log_softmax(dim=-1)
    values, tokens = logprobs.topk(min(max(num_top[row] or 0 for row in asked), logits.shape[-1]), dim=-1)
    for index, row in enumerate(asked):
        top = zip(tokens[index].tolist(), values[index].tolist(), strict=True)
        found[row] = Likelihood(float(logprobs[index, chosen[row]]), tuple(top)[: num_top[row]])
    return found


def _sample(logits: torch.Tensor, draws: Sequence[Draw]) -> torch.Tensor:
    temperature = logits.new_tensor([[draw.temperature] for draw in draws])
    # The largest is taken off before the division: a tiny temperature then gives -inf, and not inf - inf.
    probabilities = ((logits - logits.amax(dim=-1, keepdim=True)) / temperature).softmax(dim=-1)
    uniform = torch.tensor([[draw.uniform] for draw in draws], dtype=torch.float64, device=logits.device)
    chosen = torch.empty(len(draws), dtype=torch.int64, device=logits.device)
    whole = [row for row, draw in enumerate(draws) if draw.top_p >= 1]
    if whole:
        chosen[whole] = _inverse(probabilities[whole], uniform[whole])
    for row, draw in enumerate(draws):
        if draw.top_p < 1:
            chosen[row] = _from_nucleus(probabilities[row], draw.top_p, uniform[row])
    return chosen


def _from_nucleus(probabilities: torch.Tensor, top_p: float, uniform: torch.Tensor) -> torch.Tensor:
    """From the fewest tokens that have `top_p` together (Holtzman et al. 2019, arXiv 1904.09751)."""
    size = probabilities.shape[-1]
    values, tokens = probabilities.topk(min(_NUCLEUS, size))
    if float(values.sum()) < top_p:
        values, tokens = probabilities.sort(descending=True)
    kept = torch.where(values.cumsum(dim=-1) - values < top_p, values, 0)
    kept[0] = values[0]
    return tokens[_inverse(kept[None], uniform[None])[0]]


def _inverse(weights: torch.Tensor, uniform: torch.Tensor) -> torch.Tensor:
    """The index in each row of `weights` that its random number falls on."""
    sums = weights.double().cumsum(dim=-1)
    return torch.searchsorted(sums, uniform * sums[:, -1:], right=True)[:, 0].clamp(max=weights.shape[-1] - 1)
