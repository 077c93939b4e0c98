"""Which entities do tags say there are, and how well do predicted ones agree with the true ones?

Counted as seqeval 1.2 counts by default: an entity is right if its label, its first and its last word are; a tag that
cannot follow the one before begins an entity.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Literal

import torch

from eagleray.metrics.averages import averages, per_class

Scheme = Literal["bio", "bioes", "none"]
Entity = tuple[str, int, int]
"""Label, first word, last word."""

OUTSIDE = "O"


def tags_of(labels: Sequence[str], scheme: Scheme) -> tuple[str, ...]:
    """All tags of a scheme for these labels, in the order of a model's outputs."""
    if scheme == "none":
        return tuple(labels)
    prefixes = "BI" if scheme == "bio" else "BIES"
    return (OUTSIDE, *(f"{prefix}-{label}" for label in labels for prefix in prefixes))


def parts(tag: str, scheme: Scheme) -> tuple[str, str]:
    """The prefix of a tag, "O" where it is of no entity, and its label."""
    if scheme == "none":
        return "S", tag
    prefix, _, label = tag.partition("-")
    return prefix, label


def entities(tags: Sequence[str], scheme: Scheme) -> list[Entity]:
    """The entities of one sequence, in their order."""
    found: list[Entity] = []
    begun = 0
    split = [(OUTSIDE, ""), *(parts(tag, scheme) for tag in tags), (OUTSIDE, "")]
    for position, (before, here) in enumerate(pairwise(split)):
        if _ends(before, here):
            found.append((before[1], begun, position - 1))
        if _begins(before, here):
            begun = position
    return found


def sequences(
    logits: torch.Tensor, batch: dict[str, torch.Tensor], tags: Sequence[str]
) -> dict[int, tuple[list[str], list[str]]]:
    """The predicted and the true tags of each sample that has words, by its number."""
    chosen = batch["is_word"].cpu()
    samples = batch["sample"].cpu().unsqueeze(1).expand_as(chosen)[chosen].tolist()
    predicted = logits.detach().argmax(dim=-1).cpu()[chosen].tolist()
    actual = batch["labels"].cpu()[chosen].tolist()
    by_sample: dict[int, tuple[list[str], list[str]]] = defaultdict(lambda: ([], []))
    for sample, one, other in zip(samples, predicted, actual, strict=True):
        said, true = by_sample[sample]
        said.append(tags[one])
        true.append(tags[other])
    return by_sample


class EntityMetrics:
    """Counts of entities by label, and of words.

    State: loss, targets, words, words rightly tagged; right, predicted and true entities of each label.
    """

    def __init__(self, labels: tuple[str, ...], scheme: Scheme) -> None:
        self._labels, self._scheme = labels, scheme
        self._tags = tags_of(labels, scheme)
        self._number = {label: number for number, label in enumerate(labels)}
        self.state = torch.zeros(4 + 3 * len(labels), dtype=torch.float64)

    def update(self, loss_sum: float, logits: torch.Tensor, batch: dict[str, torch.Tensor]) -> None:
        """Add samples: `logits` (windows, length, tags), the tags of `batch["labels"]` at `batch["is_word"]`."""
        self.state[0] += loss_sum
        self.state[1] += batch["target_weights"].sum().to("cpu", torch.float64)
        counts = self.state[4:].view(3, len(self._labels))
        weights = batch["weights"].tolist()
        for sample, (predicted, actual) in sequences(logits, batch, self._tags).items():
            if not weights[sample]:
                continue
            self.state[2] += len(actual)
            self.state[3] += sum(one == other for one, other in zip(predicted, actual, strict=True))
            said, true = set(entities(predicted, self._scheme)), set(entities(actual, self._scheme))
            for row, counted in zip(counts, (said & true, said, true), strict=True):
                for label, _, _ in counted:
                    row[self._number[label]] += 1

    def compute(self) -> dict[str, Any]:
        """Macro averages run over the labels that were true or predicted somewhere, as seqeval's do."""
        loss, targets, words, right = self.state[:4].tolist()
        hits, predicted, actual = self.state[4:].view(3, len(self._labels))
        present = (predicted + actual) > 0
        return {
            "loss": loss / max(targets, 1.0),
            "token_accuracy": right / max(words, 1.0),
            **averages(hits[present], predicted[present], actual[present]),
            "per_class": per_class(self._labels, hits, predicted, actual),
        }


def _ends(before: tuple[str, str], here: tuple[str, str]) -> bool:
    if before[0] == OUTSIDE:
        return False
    return before[0] in "ES" or here[0] in "BSO" or before[1] != here[1]


def _begins(before: tuple[str, str], here: tuple[str, str]) -> bool:
    if here[0] == OUTSIDE:
        return False
    return here[0] in "BS" or before[0] in "ESO" or before[1] != here[1]
