"""What a document says of next-sentence."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from eagleray.spec import reported
from eagleray.spec.base import Text
from eagleray.spec.task.base import Answer, Input, TaskBase


class NextSentenceSpec(TaskBase):
    """Whether a sentence follows another: pretraining of an encoder, alone or together with masked-lm as BERT's."""

    type: Literal["next-sentence"]
    """What is learned."""
    format: Literal["sentences", "document", "pairs"] = "sentences"
    """What a row is. `sentences`: a list of them, in order. `document`: a text, which is cut after `.`, `!`, `?` and at
    line ends. `pairs`: two sentences. Every second sentence that follows is replaced by one of another row at random,
    with a chance of a half, but for pairs with a label of their own."""
    sentences: Text = "sentences"
    """Column of the list (`format: sentences`)."""
    text: Text = "text"
    """Column of the text (`format: document`) or of the first sentence (`format: pairs`, and rows to predict)."""
    text_pair: Text = "text_pair"
    """Column of the second sentence (`format: pairs`, and rows to predict)."""
    label: Text | None = None
    """Column that says of each pair whether it is `next` or `random`, or true or false (`format: pairs`)."""
    with_masked_lm: bool = False
    """Hide tokens too, and learn to name them: the loss is the sum of both means."""
    mask_share: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.15
    """Share of the tokens that are hidden, others in each epoch (`with_masked_lm`)."""
    negatives_seed: Annotated[int, Field(ge=0)] = 0
    """Draws which sentences are replaced, and by which."""

    @property
    def metric_names(self) -> tuple[str, ...]:
        return reported.NEXT_SENTENCE_MASKED if self.with_masked_lm else reported.SINGLE_LABEL

    @property
    def inputs(self) -> dict[str, Input]:
        return {self.text: "text", self.text_pair: "text"}

    @property
    def answer(self) -> Answer:
        return "label"
