"""Cohen's kappa as a metric of the package `evaluate`: agreement beyond what chance gives (Cohen 1960)."""

from __future__ import annotations

from collections import Counter

import datasets
import evaluate


class Kappa(evaluate.Metric):
    """Takes labels as numbers."""

    def _info(self) -> evaluate.MetricInfo:
        label = datasets.Value("int32")
        return evaluate.MetricInfo(
            description=__doc__ or "",
            citation="",
            inputs_description="labels",
            features=datasets.Features({"predictions": label, "references": label}),
        )

    def _compute(self, predictions: list[int], references: list[int]) -> dict[str, float]:
        said, true = Counter(predictions), Counter(references)
        rows = len(references)
        agreed = sum(one == other for one, other in zip(predictions, references, strict=True)) / rows
        by_chance = sum(said[label] * true[label] for label in true) / rows**2
        return {"kappa": (agreed - by_chance) / (1 - by_chance) if by_chance < 1 else 0.0}
