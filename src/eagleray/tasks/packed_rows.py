"""How do several samples share a row of a decoder without seeing each other?

Positions restart at 0 with each sample. transformers (5.23, `masking_utils.find_packed_sequence_indices`) recognises
the restarts and keeps attention apart, for full and sliding-window attention, as long as it is given neither an
attention mask nor a cache. Models that build their masks another way ignore the restarts: `check_kept_apart` finds them
out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from eagleray.errors import UserError
from eagleray.tasks.padding import pad

_PROBE_LENGTH = 8


def join(
    columns: Sequence[np.ndarray], rows: Sequence[Sequence[int]], *, value: int, dtype: npt.DTypeLike = np.int64
) -> torch.Tensor:
    """One column of the samples laid out in rows, filled on the right: (rows, longest) of `dtype`."""
    return pad([np.concatenate([columns[index] for index in row]) for row in rows], value=value, dtype=dtype)


def position_ids(lengths: Sequence[int], rows: Sequence[Sequence[int]]) -> torch.Tensor:
    """Positions that restart with each sample, and once more where the padding begins: (rows, longest) int64."""
    longest = max((sum(lengths[index] for index in row) for row in rows), default=0)
    laid_out = []
    for row in rows:
        parts = [lengths[index] for index in row]
        laid_out.append(np.concatenate([np.arange(part) for part in (*parts, longest - sum(parts))]))
    return pad(laid_out, value=0)


@torch.no_grad()
def check_kept_apart(model: Any) -> None:
    """Run one sample behind two different ones: where samples are kept apart, its logits are the same.

    The shapes are equal and what is masked counts exactly nothing, so this holds to the last bit in half precision too,
    where the same sample alone in its row comes out a few percent different.

    Raises:
        UserError: what stands before a sample in its row changes its logits: this model cannot learn from packed rows.
    """
    was_training = model.training
    model.eval()
    device = next(model.parameters()).device
    one, other, sample = torch.arange(3 * _PROBE_LENGTH, device=device).remainder(model.config.vocab_size).chunk(3)
    positions = torch.arange(_PROBE_LENGTH, device=device).repeat(2)[None]
    behind_one, behind_other = (
        model(input_ids=torch.cat([before, sample])[None], position_ids=positions, use_cache=False).logits
        for before in (one, other)
    )
    model.train(was_training)
    if not torch.equal(behind_one[:, _PROBE_LENGTH:], behind_other[:, _PROBE_LENGTH:]):
        raise UserError(
            f"data.batching `packed`: {type(model).__name__} lets the samples of a row see each other "
            "(it has attention of its own): use `length-grouped`"
        )
