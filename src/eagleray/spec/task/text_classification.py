"""What a document says of text-classification."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from eagleray.spec import reported
from eagleray.spec.base import Conflict, ConflictError, Text
from eagleray.spec.task.base import Answer, Input, TaskBase
from eagleray.spec.task.content import RowContent


class TextClassificationSpec(TaskBase):
    """One label, several labels or a number for a text or a pair of texts."""

    type: Literal["text-classification"]
    """What is learned."""
    problem: Literal["single-label", "multi-label", "regression"] = "single-label"
    """What the label column holds: one label, several labels, or a number."""
    text: Text = "text"
    """Column of the text."""
    text_pair: Text | None = None
    """Column of the second text, for tasks on pairs (entailment, similarity)."""
    label: Text = "label"
    """Column of the label: a string or integer, a list (or a string with `label_separator`), or a number."""
    labels: tuple[Text, ...] = ()
    """The label set in its order. Left out, it is what the training split holds, sorted."""
    label_separator: Text = ","
    """Between labels where a multi-label column is a string, as in CSV."""
    probabilities: Text | None = None
    """Column of how probable each label is, an object `{label: number}`, for `single-label`: a row that has it learns
    from these numbers instead of its label, which stays what it is evaluated by."""

    @model_validator(mode="after")
    def _probabilities_are_of_one_label(self) -> TextClassificationSpec:
        if self.probabilities is not None and self.problem != "single-label":
            raise ConflictError(Conflict("probabilities", f"has no meaning for {self.problem}: leave it out"))
        return self

    @property
    def metric_names(self) -> tuple[str, ...]:
        match self.problem:
            case "single-label":
                return reported.SINGLE_LABEL
            case "multi-label":
                return reported.MULTI_LABEL
            case "regression":
                return reported.REGRESSION

    @property
    def inputs(self) -> dict[str, Input]:
        return {self.text: "text"} if self.text_pair is None else {self.text: "text", self.text_pair: "text"}

    @property
    def answer(self) -> Answer:
        answers: dict[str, Answer] = {"single-label": "label", "multi-label": "labels", "regression": "value"}
        return answers[self.problem]

    @property
    def content(self) -> RowContent:
        return RowContent(
            texts=("text", "text_pair"), inputs=("text", "text_pair"), has_classes=self.problem != "regression"
        )
