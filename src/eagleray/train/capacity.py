"""How many workers does the next attempt take? A run that lost some waits until enough fit again."""

from __future__ import annotations

import time
from collections.abc import Callable

from eagleray.errors import ClusterError
from eagleray.spec.scale import ScaleSpec
from eagleray.train import attempts, cluster
from eagleray.train.resources import WorkerShape, num_fitting

LOOK_INTERVAL_S = 0.1
SETTLE_S = 10.0
"""How long an elastic run waits for all its workers before it starts with fewer: what the last attempt had is given
back bit by bit, and Ray takes some seconds to see that a node has gone."""


def smallest(scale: ScaleSpec) -> int:
    """Return the fewest workers that the document allows."""
    return scale.num_workers if scale.min_workers is None else scale.min_workers


def wait(
    scale: ScaleSpec,
    shape: WorkerShape,
    *,
    timeout_s: float,
    say: Callable[[str], None],
    pause: Callable[[float], None],
) -> int:
    """Return the number of workers to start, once so many fit. `pause` sleeps, and may end the waiting by raising.

    Raises:
        ClusterError: too few fit for `timeout_s`.
    """
    started = time.monotonic()
    has_said = False
    while True:
        waited_s = time.monotonic() - started
        fitting = num_fitting(shape, cluster.free())
        is_settled = waited_s > SETTLE_S
        fewest = smallest(scale) if is_settled else scale.num_workers
        number = attempts.num_workers(fitting=fitting, smallest=fewest, largest=scale.num_workers)
        if number is not None:
            return number
        if waited_s > timeout_s:
            raise ClusterError(
                f"{smallest(scale)} workers are needed and {fitting} fit: for {timeout_s:g} s "
                "(failures.wait_for_workers_s) the cluster had no more. Add nodes and run the same command again, or "
                "set scale.min_workers lower"
            )
        if is_settled and not has_said:
            has_said = True
            say(f"waiting for the cluster: {fitting} of {smallest(scale)} workers fit, free are {cluster.free()}")
        pause(LOOK_INTERVAL_S)


def grown(scale: ScaleSpec, shape: WorkerShape, *, num_workers: int) -> int:
    """Return how many workers a run of `num_workers` could have now, by what is free beside it."""
    return min(scale.num_workers, num_workers + num_fitting(shape, cluster.free()))
