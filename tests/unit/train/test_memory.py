"""Which micro batch fits, by two measurements and a straight line."""

from __future__ import annotations

import pytest

from eagleray.errors import OutOfMemory
from eagleray.train.memory import fitting_micro_batch_size

MIB = 2**20


def _measured(fixed: int, row: int) -> tuple[list[int], object]:
    asked: list[int] = []

    def measure(rows: int) -> int:
        asked.append(rows)
        return (fixed + rows * row) * MIB

    return asked, measure


@pytest.mark.parametrize(
    ("fixed", "row", "free", "reserved", "largest", "expected"),
    [
        (0, 10, 1000, 0, 16, 16),
        (0, 10, 100, 0, 16, 8),
        (0, 10, 100, 0, 12, 8),
        (50, 10, 200, 0, 16, 4),
        (0, 10, 100, 40, 16, 4),
        (0, 10, 20, 0, 16, 1),
        (0, 10, 1000, 0, 12, 12),
    ],
    ids=[
        "all",
        "free share only",
        "power of two",
        "a row is a quarter of the first at least",
        "optimizer",
        "one",
        "an uneven share",
    ],
)
def test_fits(fixed: int, row: int, free: int, reserved: int, largest: int, expected: int) -> None:
    asked, measure = _measured(fixed, row)

    size = fitting_micro_batch_size(
        measure,  # type: ignore[arg-type]
        free_bytes=free * MIB,
        reserved_bytes=reserved * MIB,
        largest=largest,
    )

    assert size == expected
    assert set(asked) <= {1, 2}, "more rows than two could strand the other ranks in a collective"


def test_one_row_is_not_measured() -> None:
    asked, measure = _measured(0, 10)

    assert fitting_micro_batch_size(measure, free_bytes=0, reserved_bytes=0, largest=1) == 1  # type: ignore[arg-type]
    assert asked == []


def test_nothing_fits() -> None:
    _, measure = _measured(0, 100)

    with pytest.raises(OutOfMemory, match=r"lower data\.max_length"):
        fitting_micro_batch_size(measure, free_bytes=50 * MIB, reserved_bytes=0, largest=4)  # type: ignore[arg-type]
