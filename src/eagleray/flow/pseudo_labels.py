"""Which rows does a teacher label for its student? Pure, on labels and probabilities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np


@dataclass(frozen=True, slots=True)
class Answers:
    """What a model said of rows: its label and how probable it found it."""

    labels: np.ndarray  # (rows,) numbers of labels
    probabilities: np.ndarray  # (rows,)


def thresholds(answers: Answers, *, num_labels: int, threshold: float, per_class: bool) -> np.ndarray:
    """Return the threshold of each label: (labels,).

    `per_class` scales it by the mean probability of the rows that got the label, as a share of the surest label's.
    """
    if not per_class:
        return np.full(num_labels, threshold)
    means = np.array(
        [
            answers.probabilities[answers.labels == label].mean() if (answers.labels == label).any() else 0.0
            for label in range(num_labels)
        ]
    )
    return threshold * np.where(means > 0, means / max(means.max(), 1e-12), 1.0)


def sure(answers: Answers, limits: np.ndarray) -> np.ndarray:
    """Return whether each row is above the threshold of its label: (rows,) bool."""
    return np.asarray(answers.probabilities >= limits[answers.labels])


def chosen(
    answers: Answers, is_sure: np.ndarray, *, frequencies: Sequence[int], balance: Literal["none", "labels"]
) -> np.ndarray:
    """Return the numbers of the rows that are taken, ascending.

    `labels` takes as many as leave the labels as frequent among them as among the labelled rows, the surest of each.
    """
    rows = np.flatnonzero(is_sure)
    if balance == "none" or not len(rows):
        return rows
    shares = np.asarray(frequencies, dtype=np.float64) / sum(frequencies)
    counts = np.bincount(answers.labels[rows], minlength=len(shares))
    whole = min(counts[label] / share for label, share in enumerate(shares) if share)
    surest = rows[np.argsort(-answers.probabilities[rows], kind="stable")]
    taken = [surest[answers.labels[surest] == label][: int(whole * share + 1e-9)] for label, share in enumerate(shares)]
    return np.sort(np.concatenate(taken))


def by_label(numbers: np.ndarray, names: Sequence[str]) -> Mapping[str, int]:
    """How many rows each label got."""
    counts = np.bincount(numbers, minlength=len(names))
    return dict(zip(names, counts.tolist(), strict=True))
