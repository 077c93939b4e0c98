"""Rows held back: the right number of each stratum, the same for a seed, equal inputs on one side."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eagleray.data.split import split, strata

IDENTITIES = np.random.default_rng(0).integers(0, 2**63, 1000).astype(np.uint64)
STRATA = (np.arange(1000) % 10 == 0).astype(np.int64)  # 900 and 100


def draw(identities: np.ndarray, of: np.ndarray, seed: int = 0, **fractions: float) -> dict[str, np.ndarray]:
    return split(identities, of, fractions=fractions, seed=seed)


def test_each_stratum_gives_its_share_to_each_part() -> None:
    parts = draw(IDENTITIES, STRATA, validation=0.1, test=0.2)
    assert {name: np.bincount(STRATA[rows]).tolist() for name, rows in parts.items()} == {
        "train": [630, 70],
        "validation": [90, 10],
        "test": [180, 20],
    }


def test_parts_are_ascending_and_together_all_rows() -> None:
    parts = draw(IDENTITIES, STRATA, validation=0.15)
    assert all((np.diff(rows) > 0).all() for rows in parts.values())
    assert sorted(np.concatenate(list(parts.values())).tolist()) == list(range(1000))


def test_without_fractions_all_is_train() -> None:
    assert draw(IDENTITIES, STRATA)["train"].tolist() == list(range(1000))


def test_a_seed_draws_the_same_rows_whatever_their_order_in_the_file() -> None:
    drawn = draw(IDENTITIES, STRATA, validation=0.1)["validation"]
    order = np.random.default_rng(1).permutation(1000)
    again = draw(IDENTITIES[order], STRATA[order], validation=0.1)["validation"]
    assert set(IDENTITIES[drawn].tolist()) == set(IDENTITIES[order][again].tolist())
    assert set(drawn.tolist()) != set(draw(IDENTITIES, STRATA, seed=1, validation=0.1)["validation"].tolist())


@given(st.lists(st.integers(0, 12), min_size=1, max_size=80), st.floats(0.05, 0.9), st.integers(0, 3))
def test_equal_inputs_stay_together_and_every_stratum_keeps_rows_in_train(
    values: list[int], share: float, seed: int
) -> None:
    identities = np.array(values, dtype=np.uint64)
    of = np.array(values) % 3
    parts = draw(identities, of, seed=seed, validation=share)
    assert not set(identities[parts["train"]].tolist()) & set(identities[parts["validation"]].tolist())
    assert set(of[parts["train"]].tolist()) == set(of.tolist())


def test_sizes_are_exact_where_rows_differ() -> None:
    for size in range(2, 60):
        parts = draw(IDENTITIES[:size], STRATA[:size] * 0, validation=0.25)
        assert len(parts["validation"]) == round(0.25 * size)


@pytest.mark.parametrize(
    ("label_sets", "combinations", "expected"),
    [
        ([("a",), ("b",)], [0, 1, 0], [1, 2, 1]),
        ([()], [0, 0], [0, 0]),
        ([("a", "b"), ("a",), ()], [0, 1, 1, 2], [2, 1, 1, 0]),  # b is rarer than a
    ],
    ids=["single", "none", "several"],
)
def test_a_stratum_is_the_rarest_label(
    label_sets: list[tuple[str, ...]], combinations: list[int], expected: list[int]
) -> None:
    assert strata(np.array(combinations, dtype=np.int32), tuple(label_sets)).tolist() == expected
