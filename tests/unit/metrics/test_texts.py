"""Texts are scored as sacrebleu, rouge-score and nltk score them, on one rank and on three, and by language pair."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from absl import logging as absl_logging
from nltk.translate.meteor_score import single_meteor_score
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF

from eagleray.metrics.texts import TextMetrics
from eagleray.spec import reported

SAID = [
    "the cat sat on the mat",
    "a dog runs through the fields quickly",
    "",
    "he reads books",
    "Das ist ein kleines Haus.",
    "the Nile is the longest river in the world",
    "unrelated words here",
]
WANTED = [
    "the cat is sitting on the mat",
    "a dog ran quickly through the field",
    "nothing was said",
    "he read many books",
    "Das ist ein kleines, rotes Haus.",
    "the Nile is the longest river in the world",
    "no overlap at all",
]
PAIRS = ["en-fr", "en-de", "en-de", "en-fr", "en-de", "en-fr", "en-fr"]

# rouge-score's absl keeps what stderr was when it came, here pytest's, and whoever sets up logging closes it.
absl_logging.get_absl_handler().python_handler.setStream(sys.__stderr__)


class NoSynonyms:
    def synsets(self, word: str) -> list[Any]:
        return []


def references(said: list[str], wanted: list[str]) -> dict[str, float]:
    rouge = RougeScorer(["rouge1", "rouge2", "rougeL"], use_stemmer=False)
    scores = [rouge.score(reference, text) for text, reference in zip(said, wanted, strict=True)]
    meteor = [
        single_meteor_score(
            reference.replace(".", " .").replace(",", " ,").split(),
            text.replace(".", " .").split(),
            wordnet=NoSynonyms(),
        )
        for text, reference in zip(said, wanted, strict=True)
    ]
    return {
        **{
            name: sum(score[name].fmeasure for score in scores) / len(scores) for name in ("rouge1", "rouge2", "rougeL")
        },
        "bleu": BLEU().corpus_score(said, [wanted]).score,
        "chrf": CHRF().corpus_score(said, [wanted]).score,
        "meteor": sum(meteor) / len(meteor),
        "exact_match": sum(map(str.__eq__, said, wanted)) / len(said),
    }


@pytest.mark.parametrize("num_ranks", [1, 3])
def test_scores_are_those_of_the_references(num_ranks: int) -> None:
    total = TextMetrics(reported.GENERATED["text"])
    for rank in range(num_ranks):
        metrics = TextMetrics(reported.GENERATED["text"])
        metrics.update(SAID[rank::num_ranks], WANTED[rank::num_ranks])
        total.state += metrics.state

    assert total.compute() == pytest.approx(references(SAID, WANTED), abs=1e-6)


def test_pairs_are_scored_apart_and_together() -> None:
    metrics = TextMetrics(reported.GENERATED["translation"], pairs=("en-de", "en-fr"))
    metrics.update(SAID, WANTED, PAIRS)
    found = metrics.compute()

    for pair in ("en-de", "en-fr"):
        chosen = [number for number, each in enumerate(PAIRS) if each == pair]
        expected = references([SAID[number] for number in chosen], [WANTED[number] for number in chosen])
        for name in reported.GENERATED["translation"]:
            assert found[f"{name}_{pair}"] == pytest.approx(expected[name], abs=1e-6)
    assert found["bleu"] == pytest.approx(BLEU().corpus_score(SAID, [WANTED]).score)


def test_words_are_cut_as_the_document_says() -> None:
    metrics = TextMetrics(("bleu",), bleu_tokenizer="zh")
    metrics.update(["我爱北京天安门广场"], ["我爱北京天安门"])

    assert metrics.compute()["bleu"] == pytest.approx(
        BLEU(tokenize="zh").corpus_score(["我爱北京天安门广场"], [["我爱北京天安门"]]).score
    )


def test_nothing_seen_is_zero() -> None:
    assert set(TextMetrics(reported.GENERATED["text"]).compute().values()) == {0.0}
