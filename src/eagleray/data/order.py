"""In which order does an epoch use the samples?

A pure function of seed, epoch, data fingerprint and lengths: global batch `k` holds the same samples for any number of
workers, after any restart and with any version of numpy.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal

import numpy as np

Batching = Literal["length-grouped", "plain", "packed"]

DEFAULT_WINDOW_BATCHES = 50


@dataclass(frozen=True, slots=True)
class Epoch:
    """The global batches of one epoch. Every sample is in exactly one; only the last may be smaller than the others."""

    order: np.ndarray  # (samples,) int64, the samples as they are used
    global_batch_size: int

    def __len__(self) -> int:
        return -(-len(self.order) // self.global_batch_size)

    def __getitem__(self, k: int) -> np.ndarray:
        """The sample indices of global batch `k`: (global_batch_size,) or, for the last, fewer."""
        if not 0 <= k < len(self):
            raise IndexError(f"global batch {k} of {len(self)}")
        return self.order[k * self.global_batch_size : (k + 1) * self.global_batch_size]


def global_batches(
    lengths: np.ndarray,
    *,
    seed: int,
    epoch: int,
    fingerprint: str,
    global_batch_size: int,
    batching: Batching,
    window_batches: int = DEFAULT_WINDOW_BATCHES,
) -> Epoch:
    """Return the global batches of an epoch over samples of these `lengths`: (samples,) tokens.

    `plain` and `packed` are a permutation. `length-grouped` sorts by length within windows of `window_batches` global
    batches of the permutation, so that samples of like length meet, and shuffles the batches.
    """
    draw = _Draw(seed=seed, epoch=epoch, fingerprint=fingerprint)
    shuffled = draw.permutation(len(lengths))
    if batching != "length-grouped":
        return Epoch(shuffled, global_batch_size)
    # The partial batch is drawn before sorting: cut from a sorted window it would hold the longest samples each time.
    num_full = len(lengths) // global_batch_size
    full, partial = np.split(shuffled, [num_full * global_batch_size])
    grouped = _sort_windows(full, lengths, window=window_batches * global_batch_size)
    batches = grouped.reshape(num_full, global_batch_size)[draw.permutation(num_full)]
    return Epoch(np.concatenate([batches.reshape(-1), partial]), global_batch_size)


class _Draw:
    """Permutations from raw Philox words: numpy keeps those the same in every version, `Generator.permutation` not."""

    def __init__(self, *, seed: int, epoch: int, fingerprint: str) -> None:
        digest = hashlib.sha256(f"order\0{seed}\0{epoch}\0{fingerprint}".encode()).digest()
        words = np.frombuffer(digest, dtype="<u4")
        self._bits = np.random.Philox(np.random.SeedSequence(words.tolist()))

    def permutation(self, size: int) -> np.ndarray:
        return np.argsort(self._bits.random_raw(size), kind="stable")


def _sort_windows(order: np.ndarray, lengths: np.ndarray, *, window: int) -> np.ndarray:
    result = order.copy()
    for start in range(0, len(order), window):
        part = order[start : start + window]
        result[start : start + window] = part[np.argsort(lengths[part], kind="stable")]
    return result
