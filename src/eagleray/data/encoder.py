"""What does the data preparation need of a task?

The part of `tasks.base.Task` that concerns rows. It stands here because `data` lies below `tasks` and cannot import it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from typing import Any, Protocol, Self

Row = dict[str, Any]
"""One row after reading: checked, normalised, JSON-able."""

Sample = dict[str, Any]
"""One encoded row: the columns of `Encoder.encode` for it; lists are numpy arrays."""


class Encoder(Protocol):
    """How raw rows become canonical rows, and canonical rows become samples. A frozen dataclass of plain values."""

    @property
    def labels(self) -> tuple[str, ...]:
        """The label set in its order; () where there is none, or where the data shall tell."""
        ...

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that every raw row must have."""
        ...

    # Where a task has it: `max_broken`, the share of a source's rows that may be unreadable.

    def read(self, raw: Mapping[str, Any]) -> Row:
        """Check and normalise one raw row; ValueError says what is wrong with it, without the place."""
        ...

    def identity(self, row: Row) -> str:
        """The input alone: two rows of one identity are duplicates."""
        ...

    def labels_of(self, row: Row) -> tuple[str, ...]:
        """The labels of a row; () where the task has none. Where they are of its parts, the class says so by a true
        `labels_parts`."""
        ...

    def with_labels(self, labels: tuple[str, ...]) -> Self:
        """The same task with this label set."""
        ...

    def encode(self, rows: list[Row], tokenizer: Any, max_length: int) -> dict[str, list[Any]]:
        """Encode rows into columns of equal length, among them `input_ids`, `full_length` and `num_targets`.

        `row`, the number of the row that each sample is made of, where a row may become several samples or none;
        `length` where it is not that of `input_ids`.
        """
        ...


def length_of(sample: Mapping[str, Any]) -> int:
    """What a sample counts for in a batch: its tokens, or what `length` says instead."""
    return int(sample["length"]) if "length" in sample else len(sample["input_ids"])


def fingerprint(task: Encoder) -> str:
    """Return what tells one task's samples from another's: a sha256 of its class and its fields.

    Raises:
        TypeError: the task is no dataclass, so that its fields cannot be told.
    """
    if not dataclasses.is_dataclass(task) or isinstance(task, type):
        raise TypeError(f"{type(task).__name__} must be a frozen dataclass: its fields tell cached samples apart")
    fields = {field.name: getattr(task, field.name) for field in dataclasses.fields(task)}
    facts = {"class": f"{type(task).__module__}.{type(task).__qualname__}", "fields": fields}
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=_plain).encode()).hexdigest()


def _plain(value: Any) -> Any:
    """A spec inside a task as plain values; anything else has no stable form and is refused by json."""
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    raise TypeError(f"{type(value).__name__} has no stable form to fingerprint a task by")
