"""What of a task's rows may the data steps read, change and count? Asked when a document is checked."""

from __future__ import annotations

from dataclasses import dataclass

from eagleray.spec.task import CausalLmSpec, TaskSpec, TextClassificationSpec


@dataclass(frozen=True, slots=True)
class RowContent:
    """The texts of a canonical row, by key: plain texts, or messages with a `content`."""

    texts: tuple[str, ...] = ()  # read by filters, changed by cleaning; those of rows to predict among them
    inputs: tuple[str, ...] = ()  # what a changed copy may change without another target
    fixed: str = ""  # why no text may be changed; empty where it may
    why_no_copies: str = "its targets would no longer fit a changed text"
    has_classes: bool = False  # a row belongs to a label, or to several


UNKNOWN = RowContent(fixed="its targets refer to places in the text")
"""A task that is not named here: nothing is changed that could spoil it."""


def of(task: TaskSpec) -> RowContent:
    """Return what the data steps may do with the rows of a task."""
    match task:
        case TextClassificationSpec():
            return RowContent(
                texts=("text", "text_pair"), inputs=("text", "text_pair"), has_classes=task.problem != "regression"
            )
        case CausalLmSpec(format="completion"):
            return RowContent(texts=("prompt", "completion"), inputs=("prompt",))
        case CausalLmSpec():
            why = f"with `format: {task.format}` the text is what the model learns to say"
            return RowContent(texts=("text", "prompt", "messages", "context"), why_no_copies=why)
        case _:
            return UNKNOWN
