"""What is learned: one file a task, chosen by `type`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from eagleray.spec.task.base import TaskBase
from eagleray.spec.task.causal_lm import CausalLmSpec
from eagleray.spec.task.question_answering import QuestionAnsweringSpec
from eagleray.spec.task.seq2seq import Seq2SeqSpec
from eagleray.spec.task.text_classification import TextClassificationSpec
from eagleray.spec.task.token_classification import TokenClassificationSpec

__all__ = [
    "CausalLmSpec",
    "QuestionAnsweringSpec",
    "Seq2SeqSpec",
    "TaskBase",
    "TaskSpec",
    "TextClassificationSpec",
    "TokenClassificationSpec",
]

TaskSpec = Annotated[
    TextClassificationSpec | CausalLmSpec | TokenClassificationSpec | QuestionAnsweringSpec | Seq2SeqSpec,
    Field(discriminator="type"),
]
