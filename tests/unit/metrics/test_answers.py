"""Answers are found and counted as SQuAD's scripts count them, on one rank and on three."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from eagleray.metrics import answers, strings
from eagleray.metrics.answers import AnswerMetrics, Choice

CONTEXT = "The Nile is a river."
WORDS = [(0, 3), (4, 8), (9, 11), (12, 13), (14, 20)]
ANY = Choice(max_answer_length=5, has_none=False)
OR_NONE = Choice(max_answer_length=5, has_none=True)

# Prediction, answers, exact match and F1 by the rules of evaluate-v1.1.py and of evaluate-v2.0.py.
SCORED = [
    ("The Nile", ["Nile"], (1.0, 1.0), (1.0, 1.0)),
    ("nile!", ["Nile", "a river"], (1.0, 1.0), (1.0, 1.0)),
    ("Nile is a river", ["Nile"], (0.0, 0.5), (0.0, 0.5)),
    ("Nile river Nile", ["the Nile Nile"], (0.0, 0.8), (0.0, 0.8)),
    ("river", ["Nile", "is a river"], (0.0, 2 / 3), (0.0, 2 / 3)),
    ("a", ["the"], (1.0, 0.0), (1.0, 1.0)),
    ("", ["Nile"], (0.0, 0.0), (0.0, 0.0)),
]


@pytest.mark.parametrize(("said", "true", "v1", "v2"), SCORED)
def test_agreement(said: str, true: list[str], v1: tuple[float, float], v2: tuple[float, float]) -> None:
    for has_none, expected in ((False, v1), (True, v2)):
        found = (
            max(answers.exact_match(said, each) for each in true),
            max(answers.f1(said, each, has_none=has_none) for each in true),
        )
        assert found == pytest.approx(expected)


def batch_of(gold: list[list[str]], places: list[tuple[int, int] | None]) -> tuple[torch.Tensor, dict[str, Any]]:
    """A window a sample, a token a word behind the first one; a model that is sure of these places."""
    num, length = len(gold), 1 + len(WORDS)
    logits = torch.zeros(num, length, 2)
    for row, place in enumerate(places):
        first, last = place or (-1, -1)
        logits[row, first + 1, 0] = logits[row, last + 1, 1] = 9.0
    owned = torch.ones(num, length, dtype=torch.bool)
    owned[:, 0] = False
    return logits, {
        "sample": torch.arange(num),
        "owned": owned,
        "is_context": owned,
        "starts": torch.tensor([[0, *(start for start, _ in WORDS)]] * num),
        "ends": torch.tensor([[0, *(end for _, end in WORDS)]] * num),
        "context": strings.tensor([[CONTEXT]] * num),
        "answers": strings.tensor(gold),
        "weights": torch.ones(num),
    }


@pytest.mark.parametrize("num_ranks", [1, 3])
def test_scores_are_squads(num_ranks: int) -> None:
    """Of SQuAD 2: right, half right, wrongly none, rightly none, wrongly some."""
    gold = [["Nile"], ["Nile"], ["river"], [""], [""]]
    places = [(1, 1), (1, 4), None, None, (4, 4)]
    total = AnswerMetrics(OR_NONE)
    for rank in range(num_ranks):
        metrics = AnswerMetrics(OR_NONE)
        metrics.update(1.5, *batch_of(gold[rank::num_ranks], places[rank::num_ranks]))
        total.state += metrics.state

    assert total.compute() == pytest.approx(
        {
            "loss": 1.5 * num_ranks / 5,
            "exact_match": 2 / 5,
            "f1": 2.5 / 5,
            "has_answer_exact_match": 1 / 3,
            "has_answer_f1": 1.5 / 3,
            "no_answer_accuracy": 1 / 2,
        }
    )


@pytest.mark.parametrize(
    ("choice", "place", "text"),
    [
        pytest.param(ANY, (1, 4), "Nile is a river.", id="several-words"),
        pytest.param(Choice(2, has_none=False), (1, 4), "Nile", id="no-longer-than-allowed"),
        pytest.param(OR_NONE, None, "", id="none"),
        pytest.param(ANY, None, "The", id="none-must-not-be"),
        pytest.param(Choice(5, has_none=True, null_threshold=99.0), None, "The", id="threshold"),
    ],
)
def test_best_answer(choice: Choice, place: tuple[int, int] | None, text: str) -> None:
    logits, batch = batch_of([["x"]], [place])
    [found] = answers.best(logits, batch, choice)

    assert found.text == text == CONTEXT[found.start : found.end]
    assert 0.0 <= found.score <= 1.0


def test_scores_are_probabilities_over_all_answers() -> None:
    """With nothing to choose by, each of the five words' runs has its share, none included."""
    logits, batch = batch_of([["x"]], [None])
    [found] = answers.best(torch.zeros_like(logits), batch, OR_NONE)

    assert found.score == pytest.approx(1 / (5 + 4 + 3 + 2 + 1 + 1), abs=1e-6)


def test_texts_survive_as_tensors() -> None:
    rows = [["a", "", "ü😀"], [], ["longer than the others"]]
    assert [strings.read(row) for row in strings.tensor(rows)] == rows
