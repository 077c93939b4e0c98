"""What does a run say of its rows? Labels that look wrong, classes with too little data, probabilities that are off."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from eagleray.report.diagnosis.finding import Finding
from eagleray.store.mistakes import KEPT, Mistake, MistakesRecord

SURE = 0.9
UNLIKELY = 0.02
"""A label looks wrong where the model is this sure of another one, and gives the row's own hardly any probability,"""
GOOD = 0.8
"""and is right about most of the other rows: else it is the model that is wrong."""
FEW_ROWS = 30
"""Of a class with fewer training rows little can be learned."""
WEAK = 0.75
"""A class is weak whose F1 is below so much of the mean of all."""
MISCALIBRATED = 0.1


def wrong_labels(records: Sequence[MistakesRecord], metrics: Mapping[str, Mapping[str, Any]]) -> Iterator[Finding]:
    """Look for rows that a good model confidently answers otherwise."""
    for record in records:
        # What the model says of rows that it learns from tells nothing of how good it is.
        judged = "validation" if record.split == "train" else record.split
        accuracy = metrics.get(judged, {}).get("accuracy")
        found = suspicious(record, accuracy=accuracy)
        if not found:
            continue
        first = found[0]
        more = "at least " if len(found) == KEPT else ""
        yield Finding(
            "warning",
            f"{more}{len(found)} {_rows(len(found))} of {record.split} may have a wrong label".capitalize(),
            f"the model is right about {accuracy:.1%} of the {judged} rows, but to "
            f"{', '.join(each.place for each in found[:3])}{', …' if len(found) > 3 else ''} it gives their own label "
            f"less than {UNLIKELY:.0%} ({first.place}: {first.label!r}, the model says {first.answer!r} with "
            f"{first.answer_probability:.1%})",
            "Read them under the worst mistakes; correct them in the data, or leave such rows out with data.keep",
            record.step,
        )


def suspicious(record: MistakesRecord, *, accuracy: float | None) -> list[Mistake]:
    """The rows whose label looks wrong; none where the model is not good enough to say so."""
    if accuracy is None or accuracy < GOOD:
        return []
    return [each for each in record.mistakes if looks_wrong(each)]


def looks_wrong(mistake: Mistake) -> bool:
    """Whether the model is sure of another label."""
    own, answer = mistake.label_probability, mistake.answer_probability
    return mistake.is_wrong and own is not None and answer is not None and own <= UNLIKELY and answer >= SURE


def few_rows(label_counts: Mapping[str, int], metrics: Mapping[str, Mapping[str, Any]]) -> Iterator[Finding]:
    """Look for classes with too few training rows; `label_counts` are those of the training rows, {} where unknown."""
    measured = metrics.get("test") or metrics.get("validation") or {}
    scores = {label: scores for label, scores in measured.get("per_class", {}).items() if scores["support"]}
    mean = sum(score["f1"] for score in scores.values()) / len(scores) if scores else 0.0
    few = {label: rows for label, rows in label_counts.items() if rows < FEW_ROWS}
    for label, rows in sorted(few.items(), key=lambda item: (item[1], item[0]))[:5]:
        score = scores.get(label)
        is_weak = score is None or score["f1"] < WEAK * mean
        told = (
            f"; its F1 is {score['f1']:.3g}, the mean of all classes {mean:.3g}" if score else "; nothing measures it"
        )
        yield Finding(
            "warning" if is_weak else "note",
            f"Too little data for the class {label!r}",
            f"{rows} training {_rows(rows)}{told}",
            f"Add rows of it to data.train, {FEW_ROWS} at the least and better a few hundred; or give its rows another "
            "label, or leave them out with data.keep",
        )


def calibration(metrics: Mapping[str, Mapping[str, Any]]) -> Iterator[Finding]:
    """Say where probabilities are not what they seem."""
    split = next((name for name in ("test", "validation") if "calibration_error" in metrics.get(name, {})), None)
    if split is None or metrics[split]["calibration_error"] < MISCALIBRATED:
        return
    bins = metrics[split]["calibration"]
    weights = [count * (said - right) for count, said, right in zip(*bins_of(bins), strict=True)]
    direction = "too sure" if sum(weights) > 0 else "not sure enough"
    yield Finding(
        "note",
        f"Its probabilities cannot be believed: it is {direction} of itself",
        f"on {split} they are off by {metrics[split]['calibration_error']:.1%} on average",
        "Set train.label_smoothing: 0.1 and lower train.epochs"
        if direction == "too sure"
        else "Lower train.label_smoothing, or train longer (train.epochs)",
    )


def bins_of(bins: Mapping[str, Sequence[float]]) -> tuple[Sequence[float], Sequence[float], Sequence[float]]:
    """Of each bin the answers, their mean probability and the share of right ones."""
    return bins["counts"], bins["probabilities"], bins["right"]


def _rows(count: int) -> str:
    return "row" if count == 1 else "rows"
