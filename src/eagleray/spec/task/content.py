"""What of a task's rows may the data steps read, change and count? Asked when a document is checked."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RowContent:
    """The texts of a canonical row, by key: plain texts, or messages with a `content`; and the files it names."""

    texts: tuple[str, ...] = ()  # read by filters, changed by cleaning; those of rows to predict among them
    inputs: tuple[str, ...] = ()  # what a changed copy may change without another target
    fixed: str = ""  # why no text may be changed; empty where it may
    why_no_copies: str = "its targets would no longer fit a changed text"
    has_classes: bool = False  # a row belongs to a label, or to several
    files: tuple[str, ...] = ()  # columns of raw rows that name files, relative to the one that the row is from


UNKNOWN = RowContent(fixed="its targets refer to places in the text")
"""A task that says nothing of its rows: nothing is changed that could spoil it."""
