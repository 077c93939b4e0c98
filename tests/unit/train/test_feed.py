"""What a worker gets of a global batch, and what becomes of samples that raise."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from eagleray.errors import BadSamples
from eagleray.train.feed import Feed
from eagleray.train.group import Group


class Split:
    """Ten samples; of sample n there are n + 1 tokens."""

    lengths = np.arange(1, 11, dtype=np.int32)

    def samples(self, indices: np.ndarray) -> list[dict[str, Any]]:
        return [{"index": index, "input_ids": [7] * (index + 1)} for index in indices.tolist()]

    def place(self, index: int) -> str:
        return f"rows.jsonl:{index + 1}"


class Collate:
    """Raises for the samples in `bad`, for those in `sick` once."""

    def __init__(self, *, bad: set[int] = frozenset(), sick: set[int] = frozenset()) -> None:  # type: ignore[assignment]
        self.bad, self.sick = set(bad), set(sick)

    def __call__(self, samples: list[dict[str, Any]], weights: np.ndarray) -> dict[str, torch.Tensor]:
        indices = {sample["index"] for sample in samples}
        if once := indices & self.sick:
            self.sick -= once
            raise OSError("a read failed")
        if worst := indices & self.bad:
            raise ValueError(f"sample {min(worst)} is torn")
        return {"indices": torch.tensor([sample["index"] for sample in samples]), "weights": torch.from_numpy(weights)}


def _feed(collate: Collate, *, accumulation: int = 2, skips: bool = True, rank: int = 0, world_size: int = 1) -> Feed:
    group = Group(rank=rank, world_size=world_size, num_local=world_size, device=torch.device("cpu"))
    return Feed(
        Split(),  # type: ignore[arg-type]
        collate,
        group=group,
        accumulation=accumulation,
        balance="length",
        skips_bad_samples=skips,
    )


def test_uses_are_what_collate_received() -> None:
    share = _feed(Collate()).share(np.array([0, 3, 5, 9]))

    assert [batch["indices"].tolist() for batch in share.batches] == [[9, 5], [3, 0]]
    assert share.used == [9, 5, 3, 0]
    assert share.num_tokens == 10 + 6 + 4 + 1
    assert share.skipped == []


def test_a_filler_is_no_use() -> None:
    share = _feed(Collate(), accumulation=1, rank=1, world_size=2).share(np.array([4]))

    assert share.used == []
    assert share.num_tokens == 0
    assert share.batches[0]["weights"].tolist() == [0.0]


def test_a_batch_that_raises_is_tried_again() -> None:
    share = _feed(Collate(sick={5}), skips=False).share(np.array([0, 3, 5, 9]))

    assert share.used == [9, 5, 3, 0]
    assert share.skipped == []


def test_bad_samples_are_left_out() -> None:
    share = _feed(Collate(bad={5, 3})).share(np.array([0, 3, 5, 9]))

    assert [batch["indices"].tolist() for batch in share.batches] == [[9], [0]]
    assert share.used == [9, 0]
    assert [(sample.index, sample.place, sample.error) for sample in share.skipped] == [
        (5, "rows.jsonl:6", "ValueError: sample 5 is torn"),
        (3, "rows.jsonl:4", "ValueError: sample 3 is torn"),
    ]


def test_where_nothing_is_left_a_good_sample_fills_in() -> None:
    share = _feed(Collate(bad={0, 1, 3, 5}), accumulation=1).share(np.array([3, 5]))

    assert share.used == []
    assert share.batches[0]["indices"].tolist() == [2]  # the shortest that can be collated
    assert share.batches[0]["weights"].tolist() == [0.0]


def test_bad_samples_are_named_where_they_may_not_be_left_out() -> None:
    told = r"rows.jsonl:6: ValueError: sample 5 is torn.*failures.skip_bad_samples: true"
    with pytest.raises(BadSamples, match=told):
        _feed(Collate(bad={5}), skips=False).share(np.array([0, 3, 5, 9]))


def test_a_fault_that_no_sample_has_by_itself_is_no_bad_sample() -> None:
    class Refuses(Collate):
        def __call__(self, samples: list[dict[str, Any]], weights: np.ndarray) -> dict[str, torch.Tensor]:
            if len(samples) > 1:
                raise RuntimeError("two are too many")
            return super().__call__(samples, weights)

    with pytest.raises(RuntimeError, match="two are too many"):
        _feed(Refuses()).share(np.array([0, 3, 5, 9]))
