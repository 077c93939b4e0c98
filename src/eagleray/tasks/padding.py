"""How do rows of different lengths become one tensor?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from eagleray.data import packing


def pad(rows: Sequence[Any], *, value: int, dtype: npt.DTypeLike = np.int64) -> torch.Tensor:
    """Rows of numbers, filled on the right: (rows, longest) of `dtype`."""
    return torch.from_numpy(packing.pad(rows, value=value, dtype=dtype))


def attention_mask(lengths: Sequence[int]) -> torch.Tensor:
    """1 where a row has a token: (rows, longest) int64. By length, because padding may be a token that rows use too."""
    positions = torch.arange(max(lengths, default=0))
    return (positions < torch.tensor(lengths, dtype=torch.int64).unsqueeze(1)).to(torch.int64)
