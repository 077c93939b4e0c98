"""What did the model say of each sample before its first step? For tasks whose loss compares it with that.

It is measured at each start of a run, from the pretrained weights, before a checkpoint is restored: a forward pass over
the data costs less than a second model in memory, and holds for adapters, whole models and every ZeRO stage.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch

from eagleray.data.batches import eval_batches
from eagleray.data.tokenized import Split, TokenizedSplit
from eagleray.tasks.base import Referring
from eagleray.train.feed import Collate
from eagleray.train.group import Group
from eagleray.train.inputs import Inputs

ROWS = 8
"""In a pass: the same at each start, so that a resumed run compares with the same numbers to the last bit."""


def added(
    loaded: Inputs, *, forward: Callable[..., Any], collate: Collate, group: Group, mark: Callable[[str], None]
) -> Inputs:
    """The same data, with what `forward`, in evaluation mode, says of each sample. Collective."""
    if not isinstance(loaded.task, Referring):
        return loaded

    def of(split: Split) -> Split:
        return measured(split, task=loaded.task, forward=forward, collate=collate, group=group, mark=mark)

    data = loaded.data
    test = None if data.test is None else of(data.test)
    return replace(loaded, data=replace(data, train=of(data.train), validation=of(data.validation), test=test))


def measured(
    split: Split,
    *,
    task: Any,
    forward: Callable[..., Any],
    collate: Collate,
    group: Group,
    mark: Callable[[str], None] = lambda doing: None,
) -> Split:
    """One split likewise."""
    assert isinstance(split, TokenizedSplit)  # several tasks refer to nothing
    values = torch.zeros(len(split), len(task.reference_columns), dtype=torch.float64)
    shares = eval_batches(split.lengths, world_size=group.world_size, rank=group.rank, micro_batch_size=ROWS)
    with torch.no_grad():
        for number, (rows, weights) in enumerate(shares, start=1):
            mark(f"asking the model of the start, batch {number} of {len(shares)}")
            said = task.reference(forward, collate(split.samples(rows), weights)).to("cpu", torch.float64)
            values[torch.from_numpy(rows[weights > 0])] = said[torch.from_numpy(weights > 0)]
    columns = group.sum(values).numpy().T  # of each row one rank has a number, the others zero
    return split.with_columns(dict(zip(task.reference_columns, columns, strict=True)))
