"""Where are the keys and values of the rows that a decoder is continuing?

The rows end in the same column, however long each is: as left-padded rows do. So a step writes one column for all of
them, a plain mask of rows and columns describes who sees what, and distances between tokens are true; models with
sliding windows or position biases need the last two. (Rows that all begin in column 0 would need a scattered write a
layer and a mask of our own, and a sliding window would then be wrong for all rows but the longest.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers.cache_utils import Cache, CacheLayerMixin, DynamicCache

_BLOCK = 256  # columns by which the buffers grow: some 20 MB a row and block in a model of 1B parameters


@dataclass(slots=True)
class _Extent:
    """The part of the buffers that is in use, the same for all layers."""

    rows: int = 0
    start: int = 0
    end: int = 0

    @property
    def width(self) -> int:
        return self.end - self.start


class _SlotLayer(CacheLayerMixin):  # type: ignore[no-untyped-call]
    """Keys and values of one layer: (rows, heads, columns, size of a head), of which `extent` is in use."""

    is_sliding = False
    keys: torch.Tensor
    values: torch.Tensor

    def __init__(self, extent: _Extent) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.extent = extent
        self.is_initialized = True

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        """Nothing to do: `SlotCache.join` makes the buffers."""

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: object, **kwargs: object
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write the column of this step, and return views of all columns in use with it."""
        extent = self.extent
        for buffer, states in ((self.keys, key_states), (self.values, value_states)):
            buffer[: extent.rows, :, extent.end : extent.end + 1] = states
        used = slice(extent.start, extent.end + 1)
        return self.keys[: extent.rows, :, used], self.values[: extent.rows, :, used]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.extent.width + query_length, 0

    def get_seq_length(self) -> int:
        return self.extent.width

    def get_max_length(self) -> int:
        return -1

    def move(self, *, rows: int, columns: int, end: int) -> None:
        """New buffers of (rows, columns), with what is in use ending at column `end`."""
        # Zeros, for what is masked is multiplied all the same, and chance bits may be NaN.
        used = self.extent
        for name in ("keys", "values"):
            old = getattr(self, name)
            new = old.new_zeros((rows, old.shape[1], columns, old.shape[3]))
            new[: used.rows, :, end - used.width : end] = old[: used.rows, :, used.start : used.end]
            setattr(self, name, new)


class SlotCache(Cache):
    """A cache whose rows come and go between steps; always the first `rows` slots are in use."""

    layers: list[Any]  # _SlotLayer; transformers allows kinds that have no keys

    def __init__(self, *, max_rows: int) -> None:
        super().__init__(layers=[])
        self._max_rows = max_rows
        self._extent = _Extent()
        self._capacity = (0, 0)  # rows, columns
        self.lengths: list[int] = []
        """Tokens of each row."""

    @property
    def num_bytes(self) -> int:
        """Memory of the buffers."""
        return sum(buffer.nbytes for layer in self.layers for buffer in (layer.keys, layer.values))

    def attention_mask(self, device: torch.device) -> torch.Tensor:
        """(rows, columns in use and that of the next step) int64, 1 where a row has a token."""
        width = self._extent.width + 1
        begins = torch.tensor([width - 1 - length for length in self.lengths], device=device)
        return (torch.arange(width, device=device)[None, :] >= begins[:, None]).long()

    def join(self, prefilled: DynamicCache, lengths: Sequence[int]) -> None:
        """Take in rows that were computed apart, left-padded, with so many tokens each."""
        width = max(lengths)
        if not self.layers:
            self._create(prefilled)
        self._make_room(rows=len(self.lengths) + len(lengths), width=width)
        first, end = self._extent.rows, self._extent.end
        sources: list[Any] = prefilled.layers
        for layer, source in zip(self.layers, sources, strict=True):
            for buffer, states in ((layer.keys, source.keys), (layer.values, source.values)):
                for row, length in enumerate(lengths):
                    buffer[first + row, :, end - length : end] = states[row, :, states.shape[2] - length :]
        self.lengths.extend(lengths)
        self._extent.rows = len(self.lengths)
        self._extent.start = end - max(self.lengths)

    def advance(self) -> None:
        """Every row has one token more: to be called after each step."""
        self._extent.end += 1
        self.lengths = [length + 1 for length in self.lengths]
        rows, columns = self._capacity
        if self._extent.end == columns:
            # Where the longest rows have left, half of the columns or more are free again: then moving is enough.
            width = self._extent.width
            self._move(rows=rows, columns=columns if 2 * width <= columns else columns + _BLOCK, end=width)

    def leave(self, row: int) -> None:
        """Free a slot: the last row moves into it."""
        last, used = len(self.lengths) - 1, slice(self._extent.start, self._extent.end)
        for layer in self.layers:
            for buffer in (layer.keys, layer.values):
                if row != last:
                    buffer[row, :, used] = buffer[last, :, used]
                buffer[last].zero_()  # a NaN that were left here would spoil the next row, masked or not
        self.lengths[row] = self.lengths[last]
        self.lengths.pop()
        if not self.lengths:
            return self.clear()
        self._extent.rows = last
        self._extent.start = self._extent.end - max(self.lengths)

    def clear(self) -> None:
        """Forget all rows and give the memory back."""
        self.layers.clear()
        self.lengths = []
        self._extent = _Extent()
        self._capacity = (0, 0)

    def _create(self, prefilled: DynamicCache) -> None:
        sources: list[Any] = prefilled.layers
        for source in sources:
            layer = _SlotLayer(self._extent)
            layer.keys, layer.values = source.keys[:0, :, :0], source.values[:0, :, :0]
            self.layers.append(layer)

    def _make_room(self, *, rows: int, width: int) -> None:
        """Room for so many rows, for `width` columns to the left of the end and for one to its right."""
        capacity_rows, columns = self._capacity
        if rows <= capacity_rows and width <= self._extent.end < columns:
            return
        width = max(width, self._extent.width)
        self._move(
            rows=capacity_rows if rows <= capacity_rows else min(self._max_rows, max(rows, 2 * capacity_rows)),
            columns=(width // _BLOCK + 1) * _BLOCK,
            end=width,
        )

    def _move(self, *, rows: int, columns: int, end: int) -> None:
        for layer in self.layers:
            layer.move(rows=rows, columns=columns, end=end)
        self._extent.start, self._extent.end = end - self._extent.width, end
        self._capacity = (rows, columns)
