"""What does this worker get of a global batch? Collated micro batches, and the samples that really went into them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from eagleray.data import pairing
from eagleray.data.batches import Balance, MicroBatch, micro_batches
from eagleray.data.encoder import length_of
from eagleray.data.tokenized import Split
from eagleray.errors import BadSamples
from eagleray.tasks.base import Batch, Sample
from eagleray.train.group import Group

Collate = Callable[[list[Sample], np.ndarray], Batch]
"""(samples, weights) -> batch on the worker's device. A sample of weight 0 is filler and counts for nothing."""


@dataclass(frozen=True, slots=True)
class BadSample:
    """A sample that raised twice and is left out."""

    index: int
    place: str  # "reviews.jsonl:17"
    error: str


@dataclass(slots=True)
class Share:
    """One worker's part of a global batch."""

    draw: tuple[int, int] = (0, 0)  # seed and epoch: what is drawn for a sample follows from them and its index
    pairs: dict[int, tuple[int, float]] = field(default_factory=dict)  # a sample's partner, and the share that stays
    batches: list[Batch] = field(default_factory=list)
    rows: list[MicroBatch] = field(default_factory=list)  # of each batch the samples and their weights
    used: list[int] = field(default_factory=list)  # the samples that collate received, fillers left out
    skipped: list[BadSample] = field(default_factory=list)
    num_tokens: int = 0  # of the samples used, without padding


class Feed:
    """Reads and collates this worker's shares."""

    def __init__(
        self,
        split: Split,
        collate: Collate,
        *,
        group: Group,
        accumulation: int,
        balance: Balance,
        skips_bad_samples: bool,
        seed: int = 0,
        mixup: float = 0.0,
    ) -> None:
        """`seed` and the epoch are what a task may draw from: a sample's "draw". `mixup`: see `mixup`."""
        self._mixup = mixup
        self._split, self._collate, self._group, self._seed = split, collate, group, seed
        self._accumulation, self._balance = accumulation, balance
        self._skips_bad_samples = skips_bad_samples

    def share(self, indices: np.ndarray, *, epoch: int = 0) -> Share:
        """Return this worker's share of the global batch `indices`, as it is in that epoch.

        A batch that raises is tried once more. Then the samples that raise by themselves are left out.

        Raises:
            BadSamples: there are such samples, and the document does not allow to leave them out.
        """
        share = Share(draw=(self._seed, epoch))
        if self._mixup:
            share.pairs = pairing.pairs(indices, alpha=self._mixup, draw=share.draw)
        for rows, weights in micro_batches(
            indices,
            self._split.lengths,
            world_size=self._group.world_size,
            rank=self._group.rank,
            accumulation=self._accumulation,
            balance=self._balance,
        ):
            try:
                self._add(share, rows, weights)
            except Exception:
                self._add_again(share, rows, weights)
        return share

    def _add(self, share: Share, rows: np.ndarray, weights: np.ndarray) -> None:
        samples = self._drawn(rows, share)
        if share.pairs:
            found = [share.pairs[index] for index in rows.tolist()]
            others = self._drawn(np.array([partner for partner, _ in found]), share)
            samples = [
                sample | {pairing.PARTNER: other, pairing.SHARE: stays}
                for sample, other, (_, stays) in zip(samples, others, found, strict=True)
            ]
        share.batches.append(self._collate(samples, weights))
        share.rows.append((rows, weights))
        counted = [sample for sample, weight in zip(samples, weights, strict=True) if weight > 0]
        share.used.extend(sample["index"] for sample in counted)
        share.num_tokens += sum(length_of(sample) for sample in counted)

    def _drawn(self, rows: np.ndarray, share: Share) -> list[Sample]:
        return [sample | {"draw": share.draw} for sample in self._split.samples(rows)]

    def _add_again(self, share: Share, rows: np.ndarray, weights: np.ndarray) -> None:
        try:
            self._add(share, rows, weights)
        except Exception as error:
            bad = self._bad_ones(rows)
            if not bad:  # each alone can be collated: it is not the samples
                raise
            if not self._skips_bad_samples:
                named = "; ".join(f"{sample.place}: {sample.error}" for sample in bad)
                raise BadSamples(
                    f"{len(bad)} training sample{'s' if len(bad) > 1 else ''} cannot be batched: {named}. "
                    "Mend or remove them, or set failures.skip_bad_samples: true"
                ) from error
            share.skipped.extend(bad)
            good = ~np.isin(rows, [sample.index for sample in bad])
            self._add(share, *((rows[good], weights[good]) if good.any() else self._filler()))

    def _bad_ones(self, rows: np.ndarray) -> list[BadSample]:
        found = (self._bad(index) for index in dict.fromkeys(rows.tolist()))
        return [sample for sample in found if sample is not None]

    def _bad(self, index: int) -> BadSample | None:
        try:
            self._collate(self._split.samples(np.array([index])), np.ones(1, dtype=np.float32))
        except Exception as error:
            return BadSample(index, self._split.place(index), f"{type(error).__name__}: {error}")
        return None

    def _filler(self) -> tuple[np.ndarray, np.ndarray]:
        """The shortest sample that can be collated, to count for nothing: the other workers wait for this one."""
        by_length = np.argsort(self._split.lengths, kind="stable").tolist()
        index = next(index for index in by_length if self._bad(index) is None)
        return np.array([index]), np.zeros(1, dtype=np.float32)
