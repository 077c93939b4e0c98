"""How often each task's samples come in an epoch, and that a sample is found again by its number."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from eagleray.data import mixed
from eagleray.errors import DataError
from eagleray.spec.task.multi_task import MixingSpec, SizeMixingSpec, TemperatureMixingSpec, WeightsMixingSpec

NAMES = ("tone", "names")
SIZES = [80, 20]


class Split:
    """Samples that say their number; only what `MixedSplit` asks."""

    def __init__(self, name: str, size: int) -> None:
        self.name, self.lengths = name, np.arange(size, dtype=np.int32)

    def __len__(self) -> int:
        return len(self.lengths)

    def samples(self, indices: np.ndarray) -> list[dict[str, Any]]:
        return [{"index": index, "of": self.name, "own": index} for index in indices.tolist()]

    def row(self, index: int) -> dict[str, Any]:
        return {"own": index}

    def place(self, index: int) -> str:
        return f"{self.name}.jsonl:{index + 1}"


def of_each(mixing: MixingSpec, *, seed: int = 0) -> list[int]:
    numbers = mixed.epoch(NAMES, SIZES, mixing, seed=seed)
    return [int((numbers < SIZES[0]).sum()), int((numbers >= SIZES[0]).sum())]


@pytest.mark.parametrize(
    ("mixing", "expected"),
    [
        pytest.param(SizeMixingSpec(type="size"), [80, 20], id="size"),
        pytest.param(TemperatureMixingSpec(type="temperature", temperature=1), [80, 20], id="temperature-1"),
        pytest.param(TemperatureMixingSpec(type="temperature", temperature=2), [67, 33], id="temperature-2"),
        pytest.param(TemperatureMixingSpec(type="temperature", temperature=1000), [50, 50], id="nearly-equal"),
        pytest.param(WeightsMixingSpec(type="weights", weights={"names": 3, "tone": 1}), [25, 75], id="weights"),
    ],
)
def test_shares(mixing: MixingSpec, expected: list[int]) -> None:
    assert of_each(mixing) == expected


def test_a_seed_draws_the_same_samples_again() -> None:
    mixing = WeightsMixingSpec(type="weights", weights={"tone": 1, "names": 1})
    one, same, other = (mixed.epoch(NAMES, SIZES, mixing, seed=seed) for seed in (0, 0, 1))

    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)
    counts = np.bincount(one, minlength=100)
    assert set(counts[:80]) == {0, 1}, "of the large task some samples, none twice"
    assert set(counts[80:]) == {2, 3}, "of the small one all, as often as fits"


def test_a_task_without_a_row_is_refused() -> None:
    with pytest.raises(DataError, match="names gets no row of the 100 in an epoch"):
        of_each(WeightsMixingSpec(type="weights", weights={"tone": 1000, "names": 1}))


def test_samples_are_found_by_their_number() -> None:
    parts: Any = {"tone": Split("tone", 3), "facts": Split("facts", 2)}
    split = mixed._mixed(parts, ("tone", "names", "facts"), {}, numbers=np.array([0, 0, 2, 4]))

    assert split.lengths.tolist() == [0, 0, 2, 1]
    assert split.samples(np.array([3, 1])) == [
        {"index": 3, "of": "facts", "own": 1, "member": 2},
        {"index": 1, "of": "tone", "own": 0, "member": 0},
    ]
    assert split.row(3) == {"task": "facts", "own": 1}
    assert split.place(3) == "facts.jsonl:2"


def test_what_is_drawn_is_in_the_fingerprint() -> None:
    size, weights = SizeMixingSpec(type="size"), WeightsMixingSpec(type="weights", weights={"tone": 1, "names": 1})
    of = {"tone": "a", "names": "b"}

    assert mixed.fingerprint(of, size, seed=0) == mixed.fingerprint(of, size, seed=1)
    assert mixed.fingerprint(of, weights, seed=0) != mixed.fingerprint(of, weights, seed=1)
    assert mixed.fingerprint(of, size, seed=0) != mixed.fingerprint({**of, "names": "c"}, size, seed=0)
