"""How near do the answers of a model come to those that were written down?

Between machines, precisions and batches an answer is never the same to the last digit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Answer = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How far answers may be apart."""

    probability: float
    """Of a probability; of a number, as a share of it where it is larger than 1."""
    num_characters: int
    """So many at the beginning of a text must be the same: further on, one rounding has become another word."""
    share: float = 0.0
    """Of the rows that may be further apart."""


EXACT = Tolerance(probability=1e-3, num_characters=16)
"""fp32, on whatever machine."""
ROUNDED = Tolerance(probability=0.05, num_characters=0)
"""bf16, which has three digits."""
QUANTISED = Tolerance(probability=0.15, num_characters=0, share=0.05)
"""int8, whose answers also depend on what else is in a batch. Of 2,000 film reviews a MiniLM answered 17 further apart
than this, up to 0.37: one in 64 golden rows is to be expected, four are not."""

BETWEEN_VERSIONS = 0.02
"""Numbers of two versions that are nearer say the same; of a number larger than 1 it is a share."""


def difference(expected: Answer, found: Answer, tolerance: Tolerance) -> str:
    """What is wrong with an answer, for people; "" where nothing is."""
    if set(expected) != set(found):
        return f"{', '.join(found)} instead of {', '.join(expected)}"
    apart = distance(expected, found)
    match expected:
        case {"fillings": list() | tuple()}:
            return "" if apart <= tolerance.probability else f"a filling's probability differs by {apart:.2g}"
        case {"text": str(text)}:
            return _text_difference(text, found["text"], tolerance.num_characters)
        case {"value": value}:
            return "" if apart <= tolerance.probability else f"value {found['value']:g} instead of {value:g}"
        case {"label": label} if label != found["label"] and _lead(expected["probabilities"]) > tolerance.probability:
            return f"label {found['label']!r} instead of {label!r}"
        case {"spans": spans} if apart > tolerance.probability:
            return f"spans {_told(found['spans'])} instead of {_told(spans)}"
        case {"answer": answer} if apart > tolerance.probability:
            return f"answer {found['answer']!r} instead of {answer!r}, by {apart:.2g}"
        case {"labels": labels} if _decided(expected, found, tolerance.probability):
            return f"labels {list(found['labels'])} instead of {list(labels)}"
    return "" if apart <= tolerance.probability else f"a probability differs by {apart:.2g}"


def differences(expected: Sequence[Answer], found: Sequence[Answer], tolerance: Tolerance) -> list[str]:
    """What is wrong with the answers to some rows, one text a row; [] also where so few may be wrong."""
    each = [difference(*pair, tolerance) for pair in zip(expected, found, strict=True)]
    told = [f"row {number}: {what}" for number, what in enumerate(each, start=1) if what]
    return told if len(told) > tolerance.share * len(each) else []


def distance(expected: Answer, found: Answer) -> float:
    """How far two answers of one kind are apart: the largest difference of a probability, or that of the numbers.

    Of a part of the input that only one of them names, it is how far that is from doubt: below a half, another may have
    been as likely.
    """
    match expected:
        case {"probabilities": dict(probabilities)}:
            others = found["probabilities"]
            return max((abs(value - others.get(label, 0.0)) for label, value in probabilities.items()), default=0.0)
        case {"fillings": list(fillings) | tuple(fillings)}:
            return _fillings_distance(fillings, found["fillings"])
        case {"value": value}:
            return float(abs(value - found["value"]) / max(1.0, abs(value)))
        case {"spans": spans}:
            return _apart(spans, found["spans"])
        case {"answer": _}:
            return _apart([expected], [found])
    return float(expected != found)


def nearness(expected: Sequence[Answer], found: Sequence[Answer]) -> tuple[float, float]:
    """Of the answers to the same rows the largest difference, and the share that decides alike."""
    pairs = list(zip(expected, found, strict=True))
    return max(distance(*pair) for pair in pairs), sum(is_same(*pair) for pair in pairs) / len(pairs)


def is_same(expected: Answer, found: Answer) -> bool:
    """Whether two answers decide alike: the same label, labels or text. Numbers decide nothing."""
    if "spans" in expected:
        return list(map(_place, expected["spans"])) == list(map(_place, found["spans"]))
    return all(expected[key] == found[key] for key in ("label", "labels", "text", "answer") if key in expected)


def differ(one: Answer, other: Answer) -> bool:
    """Whether two versions say different things to the same input."""
    if one.keys() != other.keys() or not is_same(one, other):
        return True
    return "value" in one and distance(one, other) > BETWEEN_VERSIONS


def _fillings_distance(expected: Sequence[Mapping[str, float]], found: Sequence[Mapping[str, float]]) -> float:
    """The largest difference of a probability that both name; which token is the last that is named may differ."""
    if len(expected) != len(found):
        return 1.0
    pairs = zip(expected, found, strict=True)
    return max((abs(one[token] - other[token]) for one, other in pairs for token in one if token in other), default=0.0)


def _lead(probabilities: Mapping[str, float]) -> float:
    """By how much the most probable label is before the next."""
    first, second, *_ = [*sorted(probabilities.values(), reverse=True), 0.0, 0.0]
    return first - second


def _decided(expected: Answer, found: Answer, tolerance: float) -> list[str]:
    """Labels that only one of two answers has, though they were not in doubt."""
    either = set(expected["labels"]) ^ set(found["labels"])
    return [label for label in either if abs(expected["probabilities"].get(label, 1.0) - 0.5) > tolerance]


def _place(span: Answer) -> tuple[Any, ...]:
    """A part of the input without its score."""
    return span["start"], span["end"], span.get("label")


def _apart(expected: Sequence[Answer], found: Sequence[Answer]) -> float:
    ours, theirs = ({_place(span): span["score"] for span in spans} for spans in (expected, found))
    both = [abs(ours[place] - theirs[place]) for place in ours.keys() & theirs.keys()]
    one = [(ours | theirs)[place] - 0.5 for place in ours.keys() ^ theirs.keys()]
    return float(max([*both, *one, 0.0]))


def _told(spans: Sequence[Answer]) -> str:
    return ", ".join(f"{span['text']!r} ({span['label']}, {span['score']:.2g})" for span in spans) or "none"


def _text_difference(expected: str, found: str, num_characters: int) -> str:
    # One that was cut may end within a character. One without any character was not cut: it is another.
    length = min(num_characters, len(found.rstrip("\ufffd")) if found else len(expected))
    if expected[:length] == found[:length]:
        return ""
    return f"a text begins with {found[:num_characters]!r} instead of {expected[:num_characters]!r}"
