"""What have cleaning, choosing, balancing and augmentation done to the rows? The part of the data report about them."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

EXCERPT = 160
"""Characters of a sample: what a line or two of a terminal have."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TextSample(_Part):
    """A text before and after a step."""

    place: str  # "reviews.jsonl:17"
    before: str
    after: str

    @staticmethod
    def around_change(place: str, before: str, after: str) -> TextSample:
        """The part of a text where it changes."""
        same = next((number for number, (a, b) in enumerate(zip(before, after, strict=False)) if a != b), 0)
        start = max(0, same - EXCERPT // 4) if max(len(before), len(after)) > EXCERPT else 0
        return TextSample(place=place, before=_excerpt(before, start), after=_excerpt(after, start))


class ChangeReport(_Part):
    """A step of cleaning that changes texts."""

    step: str
    rows: dict[str, int]  # by source, "train" with what is drawn of it
    samples: tuple[TextSample, ...]


class DropReport(_Part):
    """Rows of a split that are not learned from."""

    split: str
    reason: str
    rows: int
    samples: tuple[str, ...]  # place and text


class BalanceReport(_Part):
    """How often the rows of a label, or of a language, are learned from in an epoch."""

    by: str
    before: dict[str, int]
    after: dict[str, int]


class AugmentReport(_Part):
    """Changed copies of training rows."""

    copies: int
    unchanged: int  # came out as they were, and were left out
    by_step: dict[str, int]  # copies that a step changed
    samples: tuple[TextSample, ...]


class StepsReport(_Part):
    """What was done between the rows of the sources and the samples."""

    changes: tuple[ChangeReport, ...] = ()
    drops: tuple[DropReport, ...] = ()
    few_shot: dict[str, int] = {}  # rows of each label
    balance: BalanceReport | None = None
    augment: AugmentReport | None = None
    languages: dict[str, dict[str, int]] = {}  # by split, rows of each language


def _excerpt(text: str, start: int) -> str:
    end = start + EXCERPT
    return ("…" if start else "") + text[start:end] + ("…" if end < len(text) else "")
