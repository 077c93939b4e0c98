"""How many rows does a worker pass through the model at once?"""

from __future__ import annotations

import numpy as np

from eagleray.errors import OutOfMemory
from eagleray.spec.finetune import FineTuneSpec
from eagleray.train import losses, memory
from eagleray.train.engine import Engine
from eagleray.train.feed import Collate
from eagleray.train.group import Group
from eagleray.train.inputs import Inputs

OPTIMIZER_BYTES = 8
"""Two fp32 moments a weight: what Adam takes at its first step, and more than the other optimizers take."""
AVERAGE_BYTES = 4
"""What an average of the weights takes besides."""


def size(
    spec: FineTuneSpec,
    loaded: Inputs,
    engine: Engine,
    collate: Collate,
    group: Group,
    *,
    num_learning: int,
    limit: int | None,
    before: int | None,
) -> int:
    """Return the document's size, or what the attempt before had, or what fits by measurement: the same at every rank.

    Raises:
        OutOfMemory: not even one sample fits at some rank; at every rank.
    """
    share = -(-spec.train.global_batch_size // group.world_size)
    largest = min(share, limit or share)
    if spec.train.micro_batch_size != "auto":
        return min(largest, spec.train.micro_batch_size)
    if before is not None:  # another size would add up the gradients in another order
        return min(largest, before)
    longest = np.argsort(loaded.data.train.lengths, kind="stable")[-2:]
    peak = memory.PeakMemory(group.device)
    training_loss = losses.build(loaded.task, spec.train, label_counts=loaded.data.label_counts)

    def pass_through(rows: int) -> None:
        samples = loaded.data.train.samples(longest[-rows:])
        batch = collate(samples, np.ones(rows, dtype=np.float32))
        engine.begin_micro_batch(is_last=False)
        loss, _ = training_loss(engine.forward, batch)
        engine.backward(loss * 0.0)  # leaves zeros in the gradients, which the first step adds to

    engine.train()
    sharded = group.world_size if spec.scale.zero.stage else 1
    fitting: int | OutOfMemory
    try:
        with engine.leaving_no_trace():
            fitting = memory.fitting_micro_batch_size(
                lambda rows: peak.growth(lambda: pass_through(rows)),
                free_bytes=memory.free_bytes(group.device, num_local_workers=group.num_local),
                reserved_bytes=(OPTIMIZER_BYTES + AVERAGE_BYTES * bool(spec.train.averaging)) * num_learning // sharded,
                largest=min(largest, len(loaded.data.train)),
            )
    except OutOfMemory as error:
        fitting = error
    return _smallest(group.exchange(fitting))


def _smallest(found: list[int | OutOfMemory]) -> int:
    """What fits at every rank. Raises at all what one has found: the others would wait for it.

    An allocation that failed is not among it: it ends the attempt, for the others may be within a step of the model.
    """
    sizes = []
    for each in found:
        if isinstance(each, OutOfMemory):
            raise each
        sizes.append(each)
    return min(sizes)
