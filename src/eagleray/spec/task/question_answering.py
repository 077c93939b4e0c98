"""What a document says of question-answering."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from eagleray.spec import reported
from eagleray.spec.base import Text
from eagleray.spec.task.base import Answer, Input, TaskBase


class QuestionAnsweringSpec(TaskBase):
    """The part of a text that answers a question about it."""

    type: Literal["question-answering"]
    """What is learned."""
    question: Text = "question"
    """Column of the question."""
    context: Text = "context"
    """Column of the text that the answer stands in."""
    answers: Text = "answers"
    """Column of the answers as SQuAD has them: `{"text": […], "answer_start": […]}`, or a list of objects."""
    unanswerable: bool = False
    """Some rows have no answer (an empty `answers`, as in SQuAD 2): the model learns to say so."""
    null_threshold: float = 0.0
    """By how much the score of having no answer must exceed that of the best answer to be what is said."""
    max_answer_length: Annotated[int, Field(ge=1)] = 30
    """Tokens that an answer may have."""
    max_question_length: Annotated[int, Field(ge=1)] = 64
    """Tokens that a question may have, and no more than half of `data.max_length`; a longer one is cut."""
    overlap: Annotated[int, Field(ge=0)] = 64
    """Tokens that two windows share where a row is longer than `data.max_length`, half a window at most."""

    @property
    def metric_names(self) -> tuple[str, ...]:
        return reported.ANSWERS_OR_NONE if self.unanswerable else reported.ANSWERS

    @property
    def inputs(self) -> dict[str, Input]:
        return {self.question: "text", self.context: "text"}

    @property
    def answer(self) -> Answer:
        return "answer"
