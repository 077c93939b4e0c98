"""Every token of a long sample is shown with company at both sides, and owned by one window."""

from __future__ import annotations

import numpy as np
import pytest

from eagleray.tasks.windows import Layout


def sample(length: int, *, before: int = 1, after: int = 1) -> dict[str, object]:
    return {"input_ids": np.arange(length), "num_before": before, "num_after": after}


@pytest.mark.parametrize(
    ("length", "max_length", "overlap", "num_windows"),
    [
        pytest.param(10, 10, 4, 1, id="just-fits"),
        pytest.param(11, 10, 4, 2, id="one-too-many"),
        pytest.param(2, 10, 4, 1, id="nothing-but-special-tokens"),
        pytest.param(50, 10, 0, 6, id="no-overlap"),
        pytest.param(50, 10, 4, 11, id="overlap"),
        pytest.param(50, 10, 99, 11, id="overlap-is-half-a-window-at-most"),
    ],
)
def test_each_token_is_owned_once(length: int, max_length: int, overlap: int, num_windows: int) -> None:
    batch = Layout([sample(length)], max_length=max_length, overlap=overlap).inputs(pad_id=99)

    owned = batch["input_ids"][batch["owned"]].tolist()
    assert owned == list(range(1, length - 1))
    assert batch["input_ids"].shape[0] == num_windows
    assert batch["input_ids"].shape[1] <= max_length
    assert batch["input_ids"][:, 0].unique().tolist() == [0]


def test_owned_tokens_lie_in_the_middle() -> None:
    batch = Layout([sample(22)], max_length=12, overlap=4).inputs(pad_id=99)

    assert [row[marks].tolist() for row, marks in zip(batch["input_ids"], batch["owned"], strict=True)] == [
        list(range(1, 9)),
        list(range(9, 14)),
        list(range(14, 21)),
    ]


def test_rows_say_of_which_sample_they_are() -> None:
    batch = Layout([sample(5), sample(14), sample(3)], max_length=8, overlap=2).inputs(pad_id=99)

    assert batch["sample"].tolist() == [0, 1, 1, 1, 2]
    assert batch["attention_mask"].sum(dim=1).tolist() == [5, 8, 8, 8, 3]
    assert batch["input_ids"][0].tolist() == [0, 1, 2, 3, 4, 99, 99, 99]
