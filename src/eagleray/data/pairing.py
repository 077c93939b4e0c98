"""Which two samples are mixed into one, and how much of each? A pure function of seed, epoch and the global batch.

The partner of a sample is another of its global batch, whichever worker has that: the pairs are the same for any number
of workers, and after any restart.
"""

from __future__ import annotations

import numpy as np

from eagleray.data import draws

PARTNER, SHARE = "partner", "share"
"""The keys of a sample: the one that it is mixed with, and how much of it stays."""

_TRIES = 32


def pairs(indices: np.ndarray, *, alpha: float, draw: tuple[int, int]) -> dict[int, tuple[int, float]]:
    """Return of each sample of a global batch its partner, now and then itself, and the share of it that stays.

    `draw`: seed and epoch. Shares are of Beta(alpha, alpha).
    """
    order = np.argsort(draws.words(len(indices), "partners", *draw, *indices.tolist()), kind="stable")
    return {
        index: (partner, share(alpha, draw=(*draw, index)))
        for index, partner in zip(indices.tolist(), indices[order].tolist(), strict=True)
    }


def share(alpha: float, *, draw: tuple[object, ...]) -> float:
    """Return a share from Beta(alpha, alpha), by Jöhnk's method: of pairs of powers the first that is small enough."""
    attempt = 0
    while True:
        powers = draws.uniforms(2 * _TRIES, "share", *draw, attempt).reshape(2, _TRIES) ** (1.0 / alpha)
        total = powers.sum(axis=0)
        fitting = np.flatnonzero((total <= 1.0) & (total > 0.0))
        if len(fitting):
            return float(powers[0, fitting[0]] / total[fitting[0]])
        attempt += 1
