"""What is learned: one file a task, chosen by `type`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from eagleray.spec.task.base import TaskBase
from eagleray.spec.task.causal_lm import CausalLmSpec
from eagleray.spec.task.image_classification import ImageClassificationSpec
from eagleray.spec.task.masked_lm import MaskedLmSpec
from eagleray.spec.task.multi_task import MultiTaskSpec
from eagleray.spec.task.next_sentence import NextSentenceSpec
from eagleray.spec.task.question_answering import QuestionAnsweringSpec
from eagleray.spec.task.seq2seq import Seq2SeqSpec
from eagleray.spec.task.text_classification import TextClassificationSpec
from eagleray.spec.task.token_classification import TokenClassificationSpec

__all__ = [
    "CausalLmSpec",
    "ImageClassificationSpec",
    "MaskedLmSpec",
    "MultiTaskSpec",
    "NextSentenceSpec",
    "OneTaskSpec",
    "QuestionAnsweringSpec",
    "Seq2SeqSpec",
    "TaskBase",
    "TaskSpec",
    "TextClassificationSpec",
    "TokenClassificationSpec",
]

OneTaskSpec = Annotated[
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
"""What a stage may learn: its rows are those of the stage."""

TaskSpec = Annotated[
    TextClassificationSpec
    | TokenClassificationSpec
    | QuestionAnsweringSpec
    | Seq2SeqSpec
    | CausalLmSpec
    | MaskedLmSpec
    | NextSentenceSpec
    | ImageClassificationSpec
    | MultiTaskSpec,
    Field(discriminator="type"),
]
