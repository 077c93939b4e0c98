"""Which tokens of a sample are hidden from the model, and what does it see in their place (Devlin et al. 2018)?

A pure function of seed, epoch and sample: other tokens in each epoch, the same after a restart and with any number of
workers. An evaluation, which has neither seed nor epoch, hides the same ones each time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from transformers import PreTrainedTokenizerBase

from eagleray.data import draws
from eagleray.errors import UserError
from eagleray.tasks.base import Sample

NOT_HIDDEN = -1
"""The unit of a special token."""

_MASKED, _RANDOM = 0.8, 0.1  # of the hidden tokens; the rest stands there as it is


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What masking has to know of a tokenizer."""

    mask_token: str
    mask_id: int
    size: int


def vocabulary(tokenizer: PreTrainedTokenizerBase, *, task: str) -> Vocabulary:
    """The tokenizer's vocabulary. Raises UserError where it has no mask token."""
    if tokenizer.mask_token_id is None:
        raise UserError(
            f"task.type {task}: the tokenizer of model.source has no mask token, so nothing can be hidden: choose an "
            "encoder that was pretrained this way (BERT, RoBERTa, …), or causal-lm for a decoder"
        )
    return Vocabulary(str(tokenizer.mask_token), int(tokenizer.mask_token_id), len(tokenizer))


def units(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int], words: Sequence[int | None] | None) -> list[int]:
    """The number of what each token is hidden together with: itself, or with `words` its word; special: NOT_HIDDEN."""
    special = set(tokenizer.all_special_ids) - {tokenizer.unk_token_id}
    own = range(len(ids)) if words is None else words
    return [NOT_HIDDEN if token in special or unit is None else unit for token, unit in zip(ids, own, strict=True)]


def hidden_in(sample: Sample, *, share: float, vocabulary: Vocabulary | None) -> tuple[np.ndarray, np.ndarray]:
    """What `hide` returns for a sample of a split, by its `input_ids` and `unit`."""
    assert vocabulary is not None, "the task is not bound to its tokenizer"
    draw = (*sample.get("draw", ("evaluation",)), sample["index"])
    ids = np.asarray(sample["input_ids"], dtype=np.int64)
    return hide(ids, np.asarray(sample["unit"]), share=share, vocabulary=vocabulary, draw=draw)


def hide(
    ids: np.ndarray, units: np.ndarray, *, share: float, vocabulary: Vocabulary, draw: tuple[Any, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """What the model sees, (length,) int64, and where a token is hidden, (length,) bool.

    Whole units in a random order, up to `share` of the tokens and at least one. Of the hidden tokens 80 % become the
    mask, 10 % any token, 10 % stay.
    """
    open_places = units != NOT_HIDDEN
    known, unit_of = np.unique(units[open_places], return_inverse=True)
    if not len(known):
        return ids, np.zeros(len(ids), dtype=bool)
    order = np.argsort(draws.words(len(known), "units", *draw), kind="stable")
    sizes = np.bincount(unit_of)[order]
    budget = max(round(share * int(open_places.sum())), int(sizes[0]))
    is_chosen = np.zeros(len(known), dtype=bool)
    is_chosen[order[np.cumsum(sizes) <= budget]] = True
    hidden = np.zeros(len(ids), dtype=bool)
    hidden[open_places] = is_chosen[unit_of]
    fate = draws.uniforms(len(ids), "fate", *draw)
    other = (draws.words(len(ids), "token", *draw) % np.uint64(vocabulary.size)).astype(np.int64)
    seen = np.where(hidden & (fate < _MASKED), vocabulary.mask_id, ids)
    return np.where(hidden & (fate >= _MASKED) & (fate < _MASKED + _RANDOM), other, seen), hidden
