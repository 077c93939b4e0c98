"""What the rest of a document, and an endpoint, ask about any task."""

from __future__ import annotations

from abc import abstractmethod
from typing import Annotated, Literal

from pydantic import StringConstraints

from eagleray.spec.base import InWords, Spec
from eagleray.spec.task.content import UNKNOWN, RowContent

WrittenSplits = tuple[Literal["validation", "test"], ...]
"""Splits that texts are generated for and measured, once, when training has ended."""

BleuTokenizer = Literal["13a", "intl", "zh", "char", "none"]
"""How sacrebleu cuts texts into words for BLEU."""

WordNetFolder = Annotated[
    str,
    StringConstraints(pattern="^(/|pkg://)"),
    InWords("a folder that every node has: an absolute path, as /usr/share/wordnet, or pkg://package/path"),
]

Input = Literal["text", "messages", "words", "image"]
"""What a column of an input holds."""

Answer = Literal["label", "labels", "value", "text", "spans", "answer", "fillings"]
"""What an answer is: a label or any number of them with probabilities, a number, a text, labelled parts of the input,
the one part of it that answers a question, or a text with what may stand in each of its gaps."""


class TaskBase(Spec):
    """One task of a document."""

    @property
    @abstractmethod
    def metric_names(self) -> tuple[str, ...]:
        """The numbers that an evaluation reports: what checkpoints may be ranked and training stopped by."""

    @property
    def final_metric_names(self) -> tuple[str, ...]:
        """The numbers that the evaluation of the finished model reports besides: a gate may ask for them."""
        return ()

    @property
    def written_splits(self) -> tuple[str, ...]:
        """The splits that the finished model writes texts for, to be measured."""
        return ()

    @property
    def compares(self) -> Literal["rows", "texts", "nothing"]:
        """What metrics of the user's own compare with what is true: what each evaluation says of the rows, or the texts
        that the finished model writes."""
        return "rows"

    @property
    @abstractmethod
    def inputs(self) -> dict[str, Input]:
        """The columns of a row to predict."""

    @property
    @abstractmethod
    def answer(self) -> Answer:
        """What a prediction is."""

    @property
    def content(self) -> RowContent:
        """What the data steps may do with its rows."""
        return UNKNOWN

    @property
    def can_be_packed(self) -> bool:
        """Whether several samples may share a row of a batch."""
        return False

    @property
    def heads(self) -> dict[str, TaskBase]:
        """The tasks that a row to predict may be for, by name; {} where there is one, and no row says which."""
        return {}
