"""A small task and tokenizer for tests of the data: reviews with labels, one token a character."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from eagleray.data.encoder import Row


class CharacterTokenizer:
    """One token a character."""

    def __call__(self, text: str) -> list[int]:
        return [ord(character) for character in text]


@dataclass(frozen=True, slots=True)
class ReviewTask:
    """Text with one label, or with several where the column is a list; with a number where `is_regression`."""

    labels: tuple[str, ...] = ()
    text: str = "text"
    label: str = "label"
    is_regression: bool = False
    refuse: str = ""  # encoding a text that holds this raises

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.text, self.label)

    def read(self, raw: Mapping[str, Any]) -> Row:
        if not isinstance(raw[self.text], str) or not raw[self.text].strip():
            raise ValueError(f"column {self.text!r} is empty")
        if self.is_regression:
            return {"text": raw[self.text], "target": float(raw[self.label])}
        label = raw[self.label]
        return {"text": raw[self.text], "labels": label if isinstance(label, list) else [str(label)]}

    def identity(self, row: Row) -> str:
        return str(row["text"])

    def labels_of(self, row: Row) -> tuple[str, ...]:
        return tuple(row.get("labels", ()))

    def with_labels(self, labels: tuple[str, ...]) -> ReviewTask:
        return replace(self, labels=labels)

    def encode(self, rows: list[Row], tokenizer: Any, max_length: int) -> dict[str, list[Any]]:
        for row in rows:
            if self.refuse and self.refuse in row["text"]:
                raise ValueError(f"cannot encode {self.refuse!r}")
        ids = [tokenizer(row["text"]) for row in rows]
        columns = {
            "input_ids": [tokens[:max_length] for tokens in ids],
            "full_length": [len(tokens) for tokens in ids],
            "num_targets": [int(not row["text"].startswith("untold")) for row in rows],
        }
        if self.is_regression:
            return columns | {"label": [row["target"] for row in rows]}
        hot = [[float(label in row["labels"]) for label in self.labels] for row in rows]
        return columns | {"label": [row.index(max(row)) for row in hot], "hot": hot}


def write_jsonl(path: Path, rows: list[dict[str, Any]]) -> str:
    """Write rows and return the path as a document names it."""
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def reviews(num: int, *, labels: tuple[str, ...] = ("bad", "good"), start: int = 0) -> list[dict[str, Any]]:
    """Rows with texts that all differ in wording and length, and labels in turn."""
    return [
        {"text": f"review {number} " + "so " * (number % 7), "label": labels[number % len(labels)]}
        for number in range(start, start + num)
    ]
