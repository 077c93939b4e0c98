"""Entities are counted as seqeval counts them, on one rank and on three."""

from __future__ import annotations

import random
import warnings

import numpy as np
import pytest
import torch
from seqeval.metrics import accuracy_score, f1_score, precision_score, recall_score
from seqeval.metrics.sequence_labeling import get_entities

from eagleray.metrics.entities import EntityMetrics, Scheme, entities, tags_of

LABELS = ("loc", "org", "per")


def sequences(scheme: Scheme, *, seed: int, num: int = 60) -> tuple[list[list[str]], list[list[str]]]:
    """True and predicted tags, the latter equal for two words in three and otherwise anything."""
    rng = random.Random(seed)
    tags = tags_of(LABELS, scheme)
    true = [[rng.choice(tags) for _ in range(rng.randint(1, 12))] for _ in range(num)]
    return true, [[tag if rng.random() < 0.67 else rng.choice(tags) for tag in row] for row in true]


def batch_of(
    true: list[list[str]], said: list[list[str]], scheme: Scheme
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """A row a sequence, with a token before and behind that is no word."""
    tags = tags_of(LABELS, scheme)
    length = max(map(len, true)) + 2
    labels, is_word = (
        torch.zeros(len(true), length, dtype=torch.int64),
        torch.zeros(len(true), length, dtype=torch.bool),
    )
    logits = torch.zeros(len(true), length, len(tags))
    for number, (row, other) in enumerate(zip(true, said, strict=True)):
        here = slice(1, 1 + len(row))
        labels[number, here] = torch.tensor([tags.index(tag) for tag in row])
        logits[number, torch.arange(1, 1 + len(row)), torch.tensor([tags.index(tag) for tag in other])] = 1.0
        is_word[number, here] = True
    weights = torch.ones(len(true))
    return logits, {
        "labels": labels,
        "is_word": is_word,
        "target_weights": is_word * weights.unsqueeze(1),
        "sample": torch.arange(len(true)),
        "weights": weights,
    }


@pytest.mark.parametrize("scheme", ["bio", "bioes"])
def test_decoding_is_seqevals(scheme: Scheme) -> None:
    true, said = sequences(scheme, seed=1, num=300)
    for row in (*true, *said):
        assert entities(row, scheme) == get_entities(row)


@pytest.mark.parametrize("num_ranks", [1, 3])
@pytest.mark.parametrize("scheme", ["bio", "bioes"])
def test_scores_are_seqevals(scheme: Scheme, num_ranks: int) -> None:
    true, said = sequences(scheme, seed=2)
    total = EntityMetrics(LABELS, scheme)
    for rank in range(num_ranks):
        metrics = EntityMetrics(LABELS, scheme)
        logits, batch = batch_of(true[rank::num_ranks], said[rank::num_ranks], scheme)
        metrics.update(2.0, logits, batch)
        total.state += metrics.state

    found = total.compute()

    for average in ("macro", "micro", "weighted"):
        assert found[f"f1_{average}"] == pytest.approx(f1_score(true, said, average=average), abs=1e-9)
        assert found[f"precision_{average}"] == pytest.approx(precision_score(true, said, average=average), abs=1e-9)
        assert found[f"recall_{average}"] == pytest.approx(recall_score(true, said, average=average), abs=1e-9)
    assert found["token_accuracy"] == pytest.approx(accuracy_score(true, said), abs=1e-9)
    assert found["loss"] == pytest.approx(2.0 * num_ranks / sum(map(len, true)))
    by_label = f1_score(true, said, average=None)
    assert [found["per_class"][label]["f1"] for label in LABELS] == pytest.approx(np.asarray(by_label).tolist())


def test_samples_without_weight_do_not_count() -> None:
    true, said = sequences("bio", seed=3, num=4)
    logits, batch = batch_of(true, said, "bio")
    batch["weights"] = torch.tensor([1.0, 0.0, 1.0, 0.0])
    metrics, alone = EntityMetrics(LABELS, "bio"), EntityMetrics(LABELS, "bio")
    metrics.update(0.0, logits, batch)
    alone.update(0.0, *batch_of(true[::2], said[::2], "bio"))

    assert torch.equal(metrics.state[2:], alone.state[2:])


def test_without_a_scheme_every_word_is_an_entity() -> None:
    assert entities(["NOUN", "NOUN", "O"], "none") == [("NOUN", 0, 0), ("NOUN", 1, 1), ("O", 2, 2)]


def test_nothing_seen_is_zero() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert EntityMetrics(LABELS, "bio").compute()["f1_micro"] == 0.0
