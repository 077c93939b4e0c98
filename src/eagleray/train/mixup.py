"""How is a model trained on pairs of samples, mixed (mixup, Zhang et al. 2018, arXiv:1710.09412)?

Images are mixed by their pixels, texts by the embeddings of their words (Guo et al. 2019, arXiv:1905.08941). Who is
mixed with whom is said by `data.pairing`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from eagleray.data.pairing import PARTNER, SHARE
from eagleray.tasks.base import Batch, Forward, Sample
from eagleray.train.feed import Collate
from eagleray.train.losses import Loss

_TARGETS = ("labels", "probabilities")


def collating(collate: Collate) -> Collate:
    """Return what makes batches of samples, mixed where they have a partner."""

    def mixed(samples: list[Sample], weights: np.ndarray) -> Batch:
        if not samples or PARTNER not in samples[0]:
            return collate(samples, weights)
        batch, others = collate(samples, weights), collate([sample[PARTNER] for sample in samples], weights)
        shares = torch.tensor([sample[SHARE] for sample in samples], device=batch["weights"].device)
        return _mixed(batch, others, shares)

    return mixed


def loss(
    plain: Loss, forward: Forward, batch: Batch, *, embeddings: nn.Module | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """The sum of the losses against both labels of each row, by their shares; the logits are of one forward pass."""
    if SHARE not in batch:
        return plain(forward, batch)
    shares, weights = batch[SHARE], batch["weights"]
    with _mixing(embeddings, batch):
        own, logits = plain(said := _Once(forward), batch | {"weights": weights * shares})
    swapped = {name: batch[f"partner_{name}"] for name in _TARGETS if name in batch}
    other, _ = plain(said, batch | {"weights": weights * (1.0 - shares), **swapped})
    return own + other, logits


def _mixed(batch: Batch, others: Batch, shares: torch.Tensor) -> Batch:
    """What a model is given of two batches of as many rows, and the labels of both."""
    found = batch | {SHARE: shares} | {f"partner_{name}": others[name] for name in _TARGETS if name in others}
    if "pixel_values" in batch:
        by = shares.view(-1, 1, 1, 1)
        return found | {"pixel_values": by * batch["pixel_values"] + (1.0 - by) * others["pixel_values"]}
    length = max(batch["input_ids"].shape[1], others["input_ids"].shape[1])

    def filled(tensor: torch.Tensor) -> torch.Tensor:
        return functional.pad(tensor, (0, length - tensor.shape[1]))

    # Where one of both has a word there is something to read; what fills the other is no word, and mixed as nothing.
    mask = filled(batch["attention_mask"])
    found |= {"input_ids": filled(batch["input_ids"]), "attention_mask": mask | filled(others["attention_mask"])}
    if "token_type_ids" in batch:
        found["token_type_ids"] = filled(batch["token_type_ids"])
    return found | {
        "partner_ids": filled(others["input_ids"]),
        "own_mask": mask,
        "partner_mask": filled(others["attention_mask"]),
    }


@contextmanager
def _mixing(embeddings: nn.Module | None, batch: Batch) -> Iterator[None]:
    """While it lasts, words are embedded as those of their row and its partner, mixed.

    The layer runs once, with the rows of both: it may be sharded, and is gathered when it runs.
    """
    if "partner_ids" not in batch:
        yield
        return
    assert embeddings is not None, "texts are mixed by the embeddings of their words"
    shares = batch[SHARE].view(-1, 1)
    own, other = batch["own_mask"] * shares, batch["partner_mask"] * (1.0 - shares)

    def with_partners(module: nn.Module, args: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor]:
        return (torch.cat([args[0], batch["partner_ids"]]),)

    def mixed(module: nn.Module, args: Any, states: torch.Tensor) -> torch.Tensor:
        one, two = states.chunk(2)
        return one * own.unsqueeze(-1).to(states.dtype) + two * other.unsqueeze(-1).to(states.dtype)

    hooks = (embeddings.register_forward_pre_hook(with_partners), embeddings.register_forward_hook(mixed))
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


class _Once:
    """A model that is run at the first call, and repeats what it has said."""

    def __init__(self, forward: Forward) -> None:
        self._forward, self._said = forward, None

    def __call__(self, **inputs: torch.Tensor) -> Any:
        if self._said is None:
            self._said = self._forward(**inputs)
        return self._said
