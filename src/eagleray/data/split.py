"""Which rows of a source are held back for validation and test?

Pure and seeded. Rows of equal input stay on one side, so that nothing leaks; each stratum gives its share. The draw
depends on what the rows hold, not on their order in the file.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from eagleray.data import draws


def split(
    identities: np.ndarray, strata: np.ndarray, *, fractions: Mapping[str, float], seed: int
) -> dict[str, np.ndarray]:
    """Return the ascending row numbers of "train" and of each part in `fractions`.

    `identities`: (rows,) uint64, equal for rows that must stay together. `strata`: (rows,) int, the classes that each
    part shall hold in like proportion. A part has round(fraction * rows) rows, give or take what equal rows force; the
    last rows of a stratum always stay in train. A part may be empty: the caller says what that means.
    """
    groups = _Groups(identities, strata, keys_seed=seed)
    taken = np.zeros(len(groups.sizes), dtype=np.int8)  # 0: train, else the number of the part
    used = np.zeros(len(groups.bounds), dtype=np.int64)  # groups of each stratum that are taken
    for number, fraction in enumerate(fractions.values(), start=1):
        for stratum, quota in enumerate(_quotas(np.bincount(strata), fraction=fraction).tolist()):
            free = groups.drawn[groups.bounds[stratum] + used[stratum] : groups.bounds[stratum + 1]]
            count = _how_many(groups.sizes[free], quota)
            taken[free[:count]] = number
            used[stratum] += count
    part_of_row = taken[groups.of_row]
    return {name: np.flatnonzero(part_of_row == number) for number, name in enumerate(["train", *fractions])}


def strata(combinations: np.ndarray, label_sets: tuple[tuple[str, ...], ...]) -> np.ndarray:
    """Return the stratum of each row: its label, and where it has several the rarest of them.

    So that of a rare label every part gets its share, whatever it occurs with (Sechidis et al. 2011 start there too).
    """
    return named_strata(combinations, label_sets)[0]


def named_strata(combinations: np.ndarray, label_sets: tuple[tuple[str, ...], ...]) -> tuple[np.ndarray, list[str]]:
    """Return the same, and the label of each stratum; "" is for rows without any."""
    rows_of_set = np.bincount(combinations, minlength=len(label_sets))
    counts: dict[str, int] = {}
    for labels, rows in zip(label_sets, rows_of_set.tolist(), strict=True):
        for label in labels:
            counts[label] = counts.get(label, 0) + rows
    numbers = {label: number for number, label in enumerate(sorted(counts), start=1)}
    rarest = [min((counts[label], numbers[label]) for label in labels)[1] if labels else 0 for labels in label_sets]
    return np.take(np.array(rarest, dtype=np.int32), combinations), ["", *sorted(counts)]


class _Groups:
    """Rows of equal identity, in the order of the draw within each stratum; a group's stratum is its first row's."""

    def __init__(self, identities: np.ndarray, strata: np.ndarray, *, keys_seed: int) -> None:
        unique, first, self.of_row, self.sizes = np.unique(
            identities, return_index=True, return_inverse=True, return_counts=True
        )
        of_group = strata[first]
        self.drawn = np.lexsort((draws.words(len(unique), "split", keys_seed), of_group))
        self.bounds = np.searchsorted(of_group[self.drawn], np.arange(int(strata.max(initial=0)) + 2))


def _quotas(sizes: np.ndarray, *, fraction: float) -> np.ndarray:
    """Rows to take of each stratum: its share rounded down, then one more where most was cut off, up to the total."""
    exact = sizes * fraction
    quotas = np.floor(exact).astype(np.int64)
    missing = round(float(sizes.sum()) * fraction) - int(quotas.sum())
    quotas[np.argsort(quotas - exact, kind="stable")[: max(missing, 0)]] += 1
    return quotas


def _how_many(sizes: np.ndarray, quota: int) -> int:
    """How many of the groups come nearest to `quota` rows (of two, the more), leaving one for train."""
    if quota == 0 or len(sizes) < 2:
        return 0
    totals = np.concatenate([[0], np.cumsum(sizes[:-1])])
    return len(totals) - 1 - int(np.argmin(np.abs(totals - quota)[::-1]))
