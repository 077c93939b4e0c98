"""By which name the driver hears of a worker's exception."""

from __future__ import annotations

import pytest
import torch

from eagleray.errors import DataError
from eagleray.train.worker import failure_kind


def test_a_real_failed_allocation_is_out_of_memory() -> None:
    with pytest.raises(RuntimeError) as raised:
        torch.empty(2**60, dtype=torch.uint8)

    assert failure_kind(raised.value) == "OutOfMemory"


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), "OutOfMemory"),
        (DataError("row 3"), "DataError"),
        (KeyError("label"), "KeyError"),
    ],
    ids=["cuda", "ours", "fault"],
)
def test_kind(error: Exception, kind: str) -> None:
    assert failure_kind(error) == kind
