"""What a document says of masked-lm."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from eagleray.spec import reported
from eagleray.spec.base import Text
from eagleray.spec.task.base import Answer, Input, TaskBase
from eagleray.spec.task.content import RowContent


class MaskedLmSpec(TaskBase):
    """An encoder that names the hidden tokens of a text: pretraining on text without labels."""

    type: Literal["masked-lm"]
    """What is learned."""
    text: Text = "text"
    """Column of the text."""
    mask_share: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.15
    """Share of the tokens that are hidden, others in each epoch."""
    whole_words: bool = False
    """Hide all tokens of a word together."""
    num_fillings: Annotated[int, Field(ge=1)] = 5
    """How many tokens `predict` names for each mask."""

    @property
    def metric_names(self) -> tuple[str, ...]:
        return reported.LANGUAGE_MODEL

    @property
    def compares(self) -> Literal["rows", "texts", "nothing"]:
        return "nothing"

    @property
    def inputs(self) -> dict[str, Input]:
        return {self.text: "text"}

    @property
    def answer(self) -> Answer:
        return "fillings"

    @property
    def content(self) -> RowContent:
        return RowContent(texts=("text",), why_no_copies="the text is what the model learns to say")
