"""Which samples of a global batch does each worker take, in which micro batch?

Every sample is taken once over all workers. All workers make the same number of micro batches, or a collective would
wait for ever: a worker that has no sample left takes one row of weight 0, which counts in no loss and no metric.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

MicroBatch = tuple[np.ndarray, np.ndarray]
"""Sample indices (rows,) int64 and weights (rows,) float32: 1.0, or 0.0 for a filler row."""

Balance = Literal["length", "tokens"]


def accumulation(global_batch_size: int, *, world_size: int, micro_batch_size: int) -> int:
    """Return the micro batches a worker needs to work through its share of a global batch."""
    return -(-global_batch_size // (world_size * micro_batch_size))


def micro_batches(
    indices: np.ndarray, lengths: np.ndarray, *, world_size: int, rank: int, accumulation: int, balance: Balance
) -> list[MicroBatch]:
    """Return the `accumulation` micro batches of worker `rank` for the global batch `indices`.

    `lengths` are those of the whole split. `length` gives the workers samples of like length in each micro step, so
    that little is padding and none waits; `tokens` gives every micro batch about as many tokens (packed rows).
    No micro batch has more than ceil(len(indices) / (world_size * accumulation)) rows.
    """
    if len(indices) == 0:
        raise ValueError("a global batch without samples")
    ordered = indices[np.argsort(-lengths[indices], kind="stable")]
    if balance == "length":
        parts = [slab[rank::world_size] for slab in np.array_split(ordered, accumulation)]
    else:
        parts = _balanced(ordered, lengths, num_parts=world_size * accumulation)[rank::world_size]
    return [_weighted(part, filler=ordered[-1:]) for part in parts]


@dataclass(frozen=True, slots=True)
class EvalBatches:
    """The micro batches of one worker over a whole split, longest samples first: a lack of memory shows at once."""

    order: np.ndarray  # (samples,) by falling length
    world_size: int
    rank: int
    micro_batch_size: int

    def __len__(self) -> int:
        return -(-len(self.order) // (self.world_size * self.micro_batch_size))

    def __getitem__(self, k: int) -> MicroBatch:
        if not 0 <= k < len(self):
            raise IndexError(f"micro batch {k} of {len(self)}")
        slab_size = self.world_size * self.micro_batch_size
        slab = self.order[k * slab_size : (k + 1) * slab_size]
        return _weighted(slab[self.rank :: self.world_size], filler=self.order[-1:])

    def __iter__(self) -> Iterator[MicroBatch]:
        return (self[k] for k in range(len(self)))


def eval_batches(lengths: np.ndarray, *, world_size: int, rank: int, micro_batch_size: int) -> EvalBatches:
    """Return the micro batches of worker `rank` for an evaluation of all samples of these `lengths`."""
    order = np.argsort(-lengths, kind="stable")
    return EvalBatches(order, world_size=world_size, rank=rank, micro_batch_size=micro_batch_size)


def _weighted(part: np.ndarray, *, filler: np.ndarray) -> MicroBatch:
    """Give every sample weight 1; an empty part becomes the filler, the shortest sample (least work), of weight 0."""
    if len(part) == 0:
        return filler, np.zeros(1, dtype=np.float32)
    return part, np.ones(len(part), dtype=np.float32)


def _balanced(ordered: np.ndarray, lengths: np.ndarray, *, num_parts: int) -> list[np.ndarray]:
    """Spread samples, longest first, each to the part with the fewest tokens that still has room."""
    room = -(-len(ordered) // num_parts)
    parts: list[list[int]] = [[] for _ in range(num_parts)]
    heap = [(0, number) for number in range(num_parts)]
    for index in ordered.tolist():
        tokens, number = heapq.heappop(heap)
        parts[number].append(index)
        if len(parts[number]) < room:
            heapq.heappush(heap, (tokens + int(lengths[index]), number))
    return [np.array(part, dtype=ordered.dtype) for part in parts]
