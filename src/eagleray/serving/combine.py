"""How do several models answer as one?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

_ROUNDING = 1e-9
"""Half is half, whatever binary fractions make of it."""


def mean(answers: Sequence[Mapping[str, Any]], weights: Sequence[float]) -> dict[str, Any]:
    """The weighted mean of probabilities, or of numbers. Several labels: those at least as likely as not."""
    total = sum(weights)
    if "value" in answers[0]:
        return {"value": sum(w * answer["value"] for w, answer in zip(weights, answers, strict=True)) / total}
    labels = answers[0]["probabilities"]
    probabilities = {
        label: sum(w * answer["probabilities"][label] for w, answer in zip(weights, answers, strict=True)) / total
        for label in labels
    }
    if "labels" in answers[0]:
        return {
            "labels": [label for label, probability in probabilities.items() if probability >= 0.5 - _ROUNDING],
            "probabilities": probabilities,
        }
    return {"label": max(probabilities, key=probabilities.__getitem__), "probabilities": probabilities}


def vote(answers: Sequence[Mapping[str, Any]], weights: Sequence[float]) -> dict[str, Any]:
    """The label that most name, by weight; its probability is its share of the votes. Of equals the more probable."""
    total = sum(weights)
    votes = dict.fromkeys(answers[0]["probabilities"], 0.0)
    for weight, answer in zip(weights, answers, strict=True):
        for label in answer.get("labels", [answer.get("label")]):
            votes[label] += weight / total
    if "labels" in answers[0]:
        return {"labels": [label for label, share in votes.items() if share >= 0.5 - _ROUNDING], "probabilities": votes}
    probabilities = mean(answers, weights)["probabilities"]
    label = max(votes, key=lambda label: (round(votes[label], 9), probabilities[label]))
    return {"label": label, "probabilities": votes}


def combined(
    answers: Sequence[Mapping[str, Any]], weights: Sequence[float], *, how: Literal["mean", "vote"]
) -> dict[str, Any]:
    """One answer made of those of several models to the same input."""
    return mean(answers, weights) if how == "mean" else vote(answers, weights)
