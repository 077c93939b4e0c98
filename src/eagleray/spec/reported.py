"""Which metrics each task reports: what checkpoints may be ranked and training stopped by."""

from __future__ import annotations

from typing import assert_never

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
