"""What is learned: one file a task, chosen by `type`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from eagleray.spec.task.base import TaskBase
from eagleray.spec.task.causal_lm import CausalLmSpec
from eagleray.spec.task.image_classification import ImageClassificationSpec
from eagleray.spec.task.masked_lm import MaskedLmSpec
from eagleray.spec.task.next_sentence import NextSentenceSpec
from eagleray.spec.task.text_classification import TextClassificationSpec

__all__ = [
    "CausalLmSpec",
    "ImageClassificationSpec",
    "MaskedLmSpec",
    "NextSentenceSpec",
    "TaskBase",
    "TaskSpec",
    "TextClassificationSpec",
]

TaskSpec = Annotated[
    TextClassificationSpec | CausalLmSpec | MaskedLmSpec | NextSentenceSpec | ImageClassificationSpec,
    Field(discriminator="type"),
]
