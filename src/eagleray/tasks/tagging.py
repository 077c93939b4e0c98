"""How do tags and spans become one another, and what is wrong with those of a row?"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from eagleray.metrics.entities import OUTSIDE, Entity, Scheme, entities
from eagleray.tasks.labels import read_label

Span = dict[str, Any]
"""`start`, `end` (characters, the end exclusive) and `label`."""

# Scripts that are written without spaces, and Korean, whose particles hang on to names: each character is a word.
_ALONE = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff"
_WORDS = re.compile(rf"[{_ALONE}]|[^\W{_ALONE}]+|[^\w\s]")

_RULES: dict[Scheme, str] = {
    "bio": "I-x stands after B-x or I-x of the same label",
    "bioes": "B-x goes on with I-x and ends with E-x of the same label, and nothing else has I-x or E-x",
}
_PREFIXES: dict[Scheme, str] = {"bio": "BI", "bioes": "BIES"}


def words_of(text: str) -> list[tuple[int, int]]:
    """Where the words of a text are: what stands between spaces, each sign apart."""
    return [match.span() for match in _WORDS.finditer(text)]


def tagged(num_words: int, found: Sequence[Entity], scheme: Scheme) -> list[str]:
    """The tags of entities that do not overlap. Without a scheme every word of one has its label."""
    tags = [OUTSIDE] * num_words
    for label, first, last in found:
        if scheme == "none":
            tags[first : last + 1] = [label] * (last + 1 - first)
            continue
        prefixes = ["B", *"I" * (last - first)]
        if scheme == "bioes":
            prefixes[-1] = "E" if last > first else "S"
        tags[first : last + 1] = [f"{prefix}-{label}" for prefix in prefixes]
    return tags


def checked(tags: Sequence[str], scheme: Scheme, *, repair: bool) -> list[str]:
    """Tags that keep the rules of their scheme, mended where that is allowed. Raises ValueError otherwise."""
    if scheme == "none":
        return list(tags)
    allowed = _PREFIXES[scheme]
    for number, tag in enumerate(tags, start=1):
        prefix, dash, label = tag.partition("-")
        if tag != OUTSIDE and not (dash and label and len(prefix) == 1 and prefix in allowed):
            forms = ", ".join(f"{each}-label" for each in allowed)
            raise ValueError(
                f"tag {number} is `{tag}`: task.scheme {scheme} has O, {forms}; `none` takes tags as they are"
            )
    right = tagged(len(tags), entities(tags, scheme), scheme)
    if right == list(tags) or repair:
        return right
    number = next(index for index, (one, other) in enumerate(zip(tags, right, strict=True)) if one != other)
    before = f"after `{tags[number - 1]}`" if number else "at the beginning"
    behind = f" and before `{tags[number + 1]}`" if number + 1 < len(tags) else " and at the end"
    raise ValueError(
        f"tag {number + 1} is `{tags[number]}` {before}{behind if scheme == 'bioes' else ''}: {_RULES[scheme]}; "
        f"correct it, or set task.repair_tags: true to take it for `{right[number]}`"
    )


def read_spans(value: Any, text: str, *, column: str) -> list[Span]:
    """The spans of a row by their place. Raises ValueError for those that are not in the text, or overlap."""
    if not isinstance(value, list):
        raise ValueError(f"column `{column}` holds {type(value).__name__}: a list of spans is needed")
    spans = sorted((_span(each, text, column=column) for each in value), key=lambda span: span["start"])
    for one, other in pairwise(spans):
        if other["start"] < one["end"]:
            raise ValueError(
                f"column `{column}`: the spans {_shown(one, text)} and {_shown(other, text)} overlap: a word has one "
                "tag; leave one of them out"
            )
    return spans


def covered(words: Sequence[tuple[int, int]], spans: Sequence[Span]) -> list[Entity]:
    """Spans as words: one that begins or ends within a word takes the whole word, if none before has it."""
    found: list[Entity] = []
    free = 0
    for span in spans:
        inside = [
            number
            for number in range(free, len(words))
            if words[number][0] < span["end"] and words[number][1] > span["start"]
        ]
        if inside:
            found.append((span["label"], inside[0], inside[-1]))
            free = inside[-1] + 1
    return found


def _span(value: Any, text: str, *, column: str) -> Span:
    if not isinstance(value, Mapping) or not {"start", "end", "label"} <= value.keys():
        raise ValueError(f"column `{column}` holds {value!r}: a span has start, end and label")
    start, end = value["start"], value["end"]
    if not (isinstance(start, int) and isinstance(end, int) and 0 <= start < end <= len(text)):
        raise ValueError(
            f"column `{column}`: a span from {start!r} to {end!r} is not within the text, which has characters 0 to "
            f"{len(text)} (the end is exclusive)"
        )
    found = {"start": start, "end": end, "label": read_label(value["label"], column=column)}
    if not text[start:end].strip():
        raise ValueError(f"column `{column}`: the span from {start} to {end} holds nothing but white space")
    if "text" in value and value["text"] != text[start:end]:
        raise ValueError(
            f"column `{column}`: the span from {start} to {end} says {value['text']!r}, the text has "
            f"{text[start:end]!r} there: count characters, not bytes, from 0"
        )
    return found


def _shown(span: Span, text: str) -> str:
    return f"{text[span['start'] : span['end']]!r} ({span['start']} to {span['end']}, {span['label']})"
