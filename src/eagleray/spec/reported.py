"""Which metrics each task reports: what checkpoints may be ranked and training stopped by."""

from __future__ import annotations

from typing import Literal, assert_never

from eagleray.spec.task import CausalLmSpec, TaskSpec, TextClassificationSpec

AVERAGED = tuple(
    f"{name}_{average}" for name in ("precision", "recall", "f1") for average in ("macro", "micro", "weighted")
)
SINGLE_LABEL = ("loss", "accuracy", *AVERAGED, "matthews", "calibration_error")
MULTI_LABEL = ("loss", "accuracy", *AVERAGED, "calibration_error")
REGRESSION = ("loss", "mse", "rmse", "mae", "r2", "pearson")
LANGUAGE_MODEL = ("loss", "perplexity", "token_accuracy", "num_tokens")

FOOTPRINT = ("model_size_mb", "latency_ms")
"""What a sweep can measure of a trained model beside what its task reports."""

_LESS_IS_BETTER = frozenset({"loss", "mse", "rmse", "mae", "perplexity", "calibration_error", *FOOTPRINT})
_MORE_IS_BETTER = frozenset({"accuracy", *AVERAGED, "matthews", "r2", "pearson", "token_accuracy"})


def metric_names(task: TaskSpec) -> tuple[str, ...]:
    """Return the numbers that an evaluation of the task reports."""
    match task:
        case TextClassificationSpec(problem="single-label"):
            return SINGLE_LABEL
        case TextClassificationSpec(problem="multi-label"):
            return MULTI_LABEL
        case TextClassificationSpec():
            return REGRESSION
        case CausalLmSpec():
            return LANGUAGE_MODEL
        case _:
            assert_never(task)


def direction(metric: str) -> Literal["max", "min"] | None:
    """Return which way a metric is better; None for a count, and for what is not reported here."""
    if metric in _LESS_IS_BETTER:
        return "min"
    return "max" if metric in _MORE_IS_BETTER else None
