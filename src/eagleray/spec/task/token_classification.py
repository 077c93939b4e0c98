"""What a document says of token-classification."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from eagleray.spec import reported
from eagleray.spec.base import Conflict, ConflictError, Text
from eagleray.spec.task.base import Answer, Input, TaskBase


class TokenClassificationSpec(TaskBase):
    """A tag for every word, or the entities in a text."""

    type: Literal["token-classification"]
    """What is learned."""
    format: Literal["words", "spans"] = "words"
    """What a row is. `words`: a list of words and a list of as many tags. `spans`: a text, and a list of objects with
    `start`, `end` (characters, the end exclusive) and `label`."""
    words: Text = "words"
    """Column of the words (`format: words`)."""
    tags: Text = "tags"
    """Column of the tags (`format: words`)."""
    text: Text = "text"
    """Column of the text (`format: spans`)."""
    spans: Text = "spans"
    """Column of the spans (`format: spans`)."""
    scheme: Literal["bio", "bioes", "none"] = "bio"
    """How tags make entities: `B-` begins one and `I-` goes on with it, `O` is none; `bioes` has `E-` for the last word
    and `S-` for the only one too. `none`: every tag is the label of its one word, as for parts of speech."""
    repair_tags: bool = False
    """Take a tag that cannot follow the one before for the next one that can, instead of refusing the row."""
    subwords: Literal["first", "all"] = "first"
    """Which tokens of a word learn its tag. Its first token gives the prediction."""
    labels: tuple[Text, ...] = ()
    """The labels, without `B-` and `I-`. Left out, they are what the training split holds, sorted."""
    overlap: Annotated[int, Field(ge=0)] = 32
    """Tokens that two windows share where a row is longer than `data.max_length`, half a window at most."""

    @model_validator(mode="after")
    def _spans_need_a_scheme(self) -> TokenClassificationSpec:
        if self.format == "spans" and self.scheme == "none":
            raise ConflictError(Conflict("scheme", "`none` tags words one by one, spans need `bio` or `bioes`"))
        return self

    @property
    def metric_names(self) -> tuple[str, ...]:
        return reported.TOKENS

    @property
    def inputs(self) -> dict[str, Input]:
        return {self.words: "words"} if self.format == "words" else {self.text: "text"}

    @property
    def answer(self) -> Answer:
        return "spans"
