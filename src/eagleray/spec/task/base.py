"""What the rest of a document, and an endpoint, ask about any task."""

from __future__ import annotations

from abc import abstractmethod
from typing import Literal

from eagleray.spec.base import Spec

Input = Literal["text", "messages", "image"]
"""What a column of an input holds."""

Answer = Literal["label", "labels", "value", "text", "fillings"]
"""What an answer is: a label or any number of them with probabilities, a number, a text, or a text with what may stand
in each of its gaps."""


class TaskBase(Spec):
    """One task of a document."""

    @property
    @abstractmethod
    def metric_names(self) -> tuple[str, ...]:
        """The numbers that an evaluation reports: what checkpoints may be ranked and training stopped by."""

    @property
    @abstractmethod
    def inputs(self) -> dict[str, Input]:
        """The columns of a row to predict."""

    @property
    @abstractmethod
    def answer(self) -> Answer:
        """What a prediction is."""

    @property
    def can_be_packed(self) -> bool:
        """Whether several samples may share a row of a batch."""
        return False
