"""What is random about a sample? A pure function of names and numbers, such as seed, epoch and the sample's index.

So what is drawn is the same for any number of workers, after any restart and with any version of numpy: it is read from
the raw words of Philox, which numpy keeps as they are.
"""

from __future__ import annotations

import hashlib

import numpy as np


def words(size: int, *facts: object) -> np.ndarray:
    """Return (size,) uint64 that follow from `facts` alone."""
    digest = hashlib.sha256("\0".join(map(str, facts)).encode()).digest()
    sequence = np.random.SeedSequence(np.frombuffer(digest, dtype="<u4").tolist())
    drawn: np.ndarray = np.random.Philox(sequence).random_raw(size)
    return drawn


def uniforms(size: int, *facts: object) -> np.ndarray:
    """Return (size,) float64 in [0, 1) that follow from `facts` alone."""
    return (words(size, *facts) >> np.uint64(11)) * 2.0**-53
