"""What turns rows into what a model takes: a tokenizer for text, a reader for images?"""

from __future__ import annotations

from typing import Any

from eagleray.model import images
from eagleray.model import load as text
from eagleray.model.images import ImageReader
from eagleray.tasks.base import Task
from eagleray.tasks.causal_lm import CausalLm
from eagleray.tasks.chat_templates import TEMPLATES
from eagleray.tasks.image_classification import ImageClassification


def load(task: Task, *, source: str, revision: str = "main", allow_remote_code: bool = False) -> Any:
    """The tokenizer or image reader of a source, as the task needs it. Raises ModelSourceError where it has none."""
    if isinstance(task, ImageClassification):
        return images.load_reader(source=source, revision=revision, allow_remote_code=allow_remote_code)
    tokenizer = text.load_tokenizer(source=source, revision=revision, allow_remote_code=allow_remote_code)
    if isinstance(task, CausalLm) and task.template != "own":
        tokenizer.chat_template = TEMPLATES[task.template]
    return tokenizer


def fingerprint(preprocessor: Any) -> str:
    """A sha256 over all that decides what it makes of a row."""
    if isinstance(preprocessor, ImageReader):
        return preprocessor.fingerprint()
    return text.tokenizer_fingerprint(preprocessor)


def check_max_length(max_length: int, *, preprocessor: Any, **options: Any) -> None:
    """Raise UserError where samples may be longer than the positions of the model (as `load.check_max_length`).

    Images have no length.
    """
    if not isinstance(preprocessor, ImageReader):
        text.check_max_length(max_length, tokenizer=preprocessor, **options)
