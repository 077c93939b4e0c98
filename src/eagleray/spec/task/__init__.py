"""What is learned: one file a task, chosen by `type`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from eagleray.spec.task.base import TaskBase
from eagleray.spec.task.causal_lm import CausalLmSpec
from eagleray.spec.task.image_classification import ImageClassificationSpec
from eagleray.spec.task.masked_lm import MaskedLmSpec
from eagleray.spec.task.next_sentence import NextSentenceSpec
from eagleray.spec.task.question_answering import QuestionAnsweringSpec
from eagleray.spec.task.seq2seq import Seq2SeqSpec
from eagleray.spec.task.text_classification import TextClassificationSpec
from eagleray.spec.task.token_classification import TokenClassificationSpec

__all__ = [
    "CausalLmSpec",
    "ImageClassificationSpec",
    "MaskedLmSpec",
    "NextSentenceSpec",
    "QuestionAnsweringSpec",
    "Seq2SeqSpec",
    "TaskBase",
    "TaskSpec",
    "TextClassificationSpec",
    "TokenClassificationSpec",
]

TaskSpec = Annotated[
    TextClassificationSpec
    | TokenClassificationSpec
    | QuestionAnsweringSpec
    | Seq2SeqSpec
    | CausalLmSpec
    | MaskedLmSpec
    | NextSentenceSpec
    | ImageClassificationSpec,
    Field(discriminator="type"),
]
