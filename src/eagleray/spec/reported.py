"""Which numbers evaluations report, and which way each is better."""

from __future__ import annotations

from typing import Literal

AVERAGED = tuple(
    f"{name}_{average}" for name in ("precision", "recall", "f1") for average in ("macro", "micro", "weighted")
)
SINGLE_LABEL = ("loss", "accuracy", *AVERAGED, "matthews", "calibration_error")
MULTI_LABEL = ("loss", "accuracy", *AVERAGED, "calibration_error")
REGRESSION = ("loss", "mse", "rmse", "mae", "r2", "pearson")
LANGUAGE_MODEL = ("loss", "perplexity", "token_accuracy", "num_tokens")
NEXT_SENTENCE_MASKED = (*SINGLE_LABEL, "perplexity", "token_accuracy", "num_tokens")
PREFERENCE = ("loss", "reward_accuracy", "reward_margin", "chosen_reward", "rejected_reward")
TOKENS = ("loss", "token_accuracy", *AVERAGED)
ANSWERS = ("loss", "exact_match", "f1")
ANSWERS_OR_NONE = (*ANSWERS, "has_answer_exact_match", "has_answer_f1", "no_answer_accuracy")
ROUGE, BLEU, METEOR = ("rouge1", "rouge2", "rougeL"), ("bleu", "chrf"), ("meteor",)
GENERATED = {
    "summarization": (*ROUGE, *METEOR),
    "translation": (*BLEU, *METEOR),
    "text": (*ROUGE, *BLEU, *METEOR, "exact_match"),
}
"""By preset of seq2seq (any other task's are `text`): what generated texts are measured by."""

FOOTPRINT = ("model_size_mb", "latency_ms")
"""What a sweep can measure of a trained model beside what its task reports."""

_LESS_IS_BETTER = frozenset({"loss", "mse", "rmse", "mae", "perplexity", "calibration_error", *FOOTPRINT})
_MORE_IS_BETTER = frozenset(
    {
        "mean",
        *("accuracy", *AVERAGED, "matthews", "r2", "pearson", "token_accuracy", "reward_accuracy", "reward_margin"),
        *(*ANSWERS_OR_NONE[1:], *GENERATED["text"]),
    }
)


def direction(metric: str) -> Literal["max", "min"] | None:
    """Return which way a metric is better; None for a count, and for what is not reported here."""
    metric = metric.rpartition("/")[2]  # tone/accuracy: of one task of several
    if metric in _LESS_IS_BETTER:
        return "min"
    of_a_pair = any(metric.startswith(f"{name}_") for name in GENERATED["text"])  # bleu_en-de
    return "max" if metric in _MORE_IS_BETTER or of_a_pair else None
