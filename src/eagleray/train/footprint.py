"""What a model costs where it is used: its size and its latency, for the constraints of a sweep."""

from __future__ import annotations

import statistics
import time
from collections.abc import Collection

import numpy as np
import torch

from eagleray.train.engine import Engine
from eagleray.train.feed import Collate
from eagleray.train.group import Group
from eagleray.train.inputs import Inputs

_WARM_UP, _NUM_PASSES = 3, 9


def measure(
    wanted: Collection[str], *, engine: Engine, loaded: Inputs, collate: Collate, group: Group
) -> dict[str, float]:
    """Return what is wanted of `model_size_mb` and `latency_ms`, the same at every rank. Collective.

    The size is that of all weights, adapters among them, in 10^6 bytes. The latency is the median time of a forward
    pass over one validation sample of median length, on the first rank's device and with the threads that train.
    """
    found: dict[str, float] = {}
    if "model_size_mb" in wanted:
        found["model_size_mb"] = engine.num_bytes() / 1e6
    if "latency_ms" in wanted:
        found["latency_ms"] = group.exchange(_latency_s(engine, loaded, collate))[0] * 1e3
    return found


def _latency_s(engine: Engine, loaded: Inputs, collate: Collate) -> float:
    split = loaded.data.validation
    median = np.argsort(split.lengths, kind="stable")[len(split) // 2]
    batch = collate(split.samples(np.array([median])), np.ones(1, dtype=np.float32))
    engine.module.eval()
    seconds = []
    with torch.no_grad():  # not inference_mode: ZeRO-3 reuses gathered weights in the next training step
        for _ in range(_WARM_UP + _NUM_PASSES):
            started = time.perf_counter()
            loss, _outputs = loaded.task.loss(engine.forward, batch)
            loss.item()  # waits for the device
            seconds.append(time.perf_counter() - started)
    return statistics.median(seconds[_WARM_UP:])
