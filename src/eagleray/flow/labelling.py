"""What does a model's answer make of a row: the label that its student learns, and how sure the model is of it?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, cast

from eagleray.metrics.entities import OUTSIDE
from eagleray.spec.task import TaskSpec, TextClassificationSpec, TokenClassificationSpec
from eagleray.tasks import tagging, token_classification
from eagleray.tasks.base import Row


@dataclass(frozen=True, slots=True)
class Labelled:
    """A row as a model has labelled it."""

    columns: dict[str, Any]  # what the row gets
    number: int  # of the class that it is
    probability: float


class Labelling(Protocol):
    """How rows of a task get their labels."""

    @property
    def classes(self) -> tuple[str, ...]:
        """What rows are told apart by: the classes are kept as frequent as among the true ones."""

    @property
    def column(self) -> str:
        """Where the label of a row is."""

    def question(self, row: Row) -> dict[str, Any]:
        """A row as the model's own document names its columns."""

    def labelled(self, row: Row, answer: Mapping[str, Any]) -> Labelled:
        """What an answer makes of a row."""

    def number(self, row: Row) -> int:
        """The class of a row that has its label."""

    def student(self, task: TaskSpec, *, labels: tuple[str, ...], is_soft: bool) -> TaskSpec:
        """The task of who learns from rows that were labelled, and written as they were read."""


def of(task: TaskSpec, *, labels: tuple[str, ...]) -> Labelling:
    """How a model of this task, which tells these labels apart, labels rows."""
    if isinstance(task, TextClassificationSpec):
        return _OneLabel(task, labels)
    return _Tags(cast(TokenClassificationSpec, task))  # the spec offers self-training for these two alone


@dataclass(frozen=True, slots=True)
class _OneLabel:
    """A row's class is its label."""

    task: TextClassificationSpec
    classes: tuple[str, ...]
    column = "label"

    def question(self, row: Row) -> dict[str, Any]:
        pair = {} if self.task.text_pair is None else {self.task.text_pair: row["text_pair"]}
        return {self.task.text: row["text"], **pair}

    def labelled(self, row: Row, answer: Mapping[str, Any]) -> Labelled:
        label, probabilities = answer["label"], answer["probabilities"]
        columns = {"label": label, "probabilities": {each: probabilities[each] for each in self.classes}}
        return Labelled(columns, self.classes.index(label), probabilities[label])

    def number(self, row: Row) -> int:
        return self.classes.index(row["label"])

    def student(self, task: TaskSpec, *, labels: tuple[str, ...], is_soft: bool) -> TaskSpec:
        assert isinstance(task, TextClassificationSpec)
        columns = {
            "text": "text",
            "text_pair": None if task.text_pair is None else "text_pair",
            "label": "label",
            "probabilities": "probabilities" if is_soft or task.probabilities is not None else None,
        }
        return task.model_copy(update={**columns, "labels": labels})


@dataclass(frozen=True, slots=True)
class _Tags:
    """A row's class is whether it has an entity: rows without are many, and surer; they would crowd out the others."""

    task: TokenClassificationSpec
    classes = ("with entities", "without")

    @property
    def column(self) -> str:
        return "tags" if self.task.format == "words" else "spans"

    def question(self, row: Row) -> dict[str, Any]:
        return {self.task.words: row["words"]} if self.column == "tags" else {self.task.text: row["text"]}

    def labelled(self, row: Row, answer: Mapping[str, Any]) -> Labelled:
        spans = [{name: span[name] for name in ("start", "end", "label")} for span in answer["spans"]]
        if self.column == "spans":
            return Labelled({"spans": spans}, self.number({"spans": spans}), answer["score"])
        words = token_classification.places(row)
        found = tagging.covered(words, spans)
        columns = {"tags": tagging.tagged(len(words), found, self.task.scheme)}
        # Without a scheme every word has a label; one that the tokenizer knows nothing of got none.
        is_whole = self.task.scheme != "none" or sum(last + 1 - first for _, first, last in found) == len(words)
        return Labelled(columns, self.number(columns), answer["score"] if is_whole else 0.0)

    def number(self, row: Row) -> int:
        has_one = any(tag != OUTSIDE for tag in row["tags"]) if self.column == "tags" else bool(row["spans"])
        return 0 if has_one else 1

    def student(self, task: TaskSpec, *, labels: tuple[str, ...], is_soft: bool) -> TaskSpec:
        names = ("words", "tags", "text", "spans")
        return task.model_copy(update={**dict(zip(names, names, strict=True)), "labels": labels})
