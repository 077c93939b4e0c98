"""How does a model read a text that is longer than its rows? In windows, several rows of a batch a sample.

Neighbouring windows share some tokens, and each token is owned by one window, the one in whose middle it lies: what is
said of a token there rests on words at both of its sides. A sample keeps all its tokens; only a batch is cut.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from transformers import PreTrainedTokenizerBase

from eagleray.errors import UserError
from eagleray.tasks.base import Batch, Sample
from eagleray.tasks.padding import attention_mask, pad

ROWS_AT_ONCE = 32
"""Windows that a prediction reads in one pass: a long text has any number of them, memory has not."""

_MODEL_INPUTS = ("input_ids", "attention_mask", "token_type_ids")


@dataclass(frozen=True, slots=True)
class Window:
    """One row: the tokens that it shows, and those of them that it owns (counted among the shown ones)."""

    sample: int
    tokens: np.ndarray  # (length,) positions in the sample's `input_ids`
    owned: slice


class Layout:
    """The samples of a batch cut into windows, those of a sample one after another."""

    def __init__(self, samples: Sequence[Sample], *, max_length: int, overlap: int) -> None:
        self._samples = samples
        self.windows = [
            window
            for number, sample in enumerate(samples)
            for window in _windows(number, sample, max_length=max_length, overlap=overlap)
        ]

    def column(self, name: str, *, value: int, dtype: npt.DTypeLike = np.int64) -> torch.Tensor:
        """A column with a number a token, as the windows show it: (windows, longest) of `dtype`."""
        values = [np.asarray(sample[name]) for sample in self._samples]
        return pad([values[window.sample][window.tokens] for window in self.windows], value=value, dtype=dtype)

    @property
    def shown(self) -> torch.Tensor:
        """(windows, length), true for what is of the text, and no part of what stands in every window."""
        marks = []
        for window in self.windows:
            sample = self._samples[window.sample]
            end = len(sample["input_ids"]) - int(sample["num_after"])
            marks.append((window.tokens >= int(sample["num_before"])) & (window.tokens < end))
        return pad(marks, value=0, dtype=np.bool_)

    def inputs(self, *, pad_id: int) -> Batch:
        """What the model reads; `sample` (windows,) int64, which sample a row is of; and `owned` (windows, length)."""
        owned = [np.zeros(len(window.tokens), dtype=bool) for window in self.windows]
        for marks, window in zip(owned, self.windows, strict=True):
            marks[window.owned] = True
        batch = {
            "input_ids": self.column("input_ids", value=pad_id),
            "attention_mask": attention_mask([len(window.tokens) for window in self.windows]),
            "sample": torch.tensor([window.sample for window in self.windows], dtype=torch.int64),
            "owned": pad(owned, value=0, dtype=np.bool_),
        }
        if "token_type_ids" in self._samples[0]:
            batch["token_type_ids"] = self.column("token_type_ids", value=0)
        return batch


def model_inputs(batch: Batch) -> Batch:
    """The part of a batch that a model is called with."""
    return {name: batch[name] for name in _MODEL_INPUTS if name in batch}


def in_parts(batch: Batch) -> list[Batch]:
    """The same in parts of at most `ROWS_AT_ONCE` windows."""
    inputs = model_inputs(batch)
    return [
        {name: tensor[start : start + ROWS_AT_ONCE] for name, tensor in inputs.items()}
        for start in range(0, len(batch["sample"]), ROWS_AT_ONCE)
    ]


def check_tokenizer(tokenizer: PreTrainedTokenizerBase, task: str) -> None:
    """Raise UserError where a tokenizer cannot say which characters a token is made of."""
    if not tokenizer.is_fast:
        raise UserError(
            f"task {task} asks which characters a token is made of, and {type(tokenizer).__name__} cannot tell: "
            "name a model with a tokenizer.json"
        )


def trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    """A token's characters without the white space that some tokenizers count to it."""
    while start < end and text[start].isspace():
        start += 1
    while start < end and text[end - 1].isspace():
        end -= 1
    return start, end


def _windows(number: int, sample: Sample, *, max_length: int, overlap: int) -> list[Window]:
    length, before, after = len(sample["input_ids"]), int(sample["num_before"]), int(sample["num_after"])
    content = length - before - after
    room = max(max_length - before - after, 1)
    starts = _starts(content, room=room, overlap=overlap)
    stops = [min(start + room, content) for start in starts]
    # Half of what two windows share belongs to each; the first and the last own their ends.
    borders = [0, *((start + stop) // 2 for start, stop in zip(starts[1:], stops[:-1], strict=True)), content]
    head, tail = np.arange(before), np.arange(length - after, length)
    return [
        Window(
            sample=number,
            tokens=np.concatenate([head, np.arange(before + start, before + stop), tail]),
            owned=slice(before + first - start, before + last - start),
        )
        for start, stop, first, last in zip(starts, stops, borders[:-1], borders[1:], strict=True)
    ]


def _starts(content: int, *, room: int, overlap: int) -> list[int]:
    """Where windows begin; the last is moved back, so that it is full."""
    if content <= room:
        return [0]
    step = room - min(overlap, room // 2)
    return [*range(0, content - room, step), content - room]
