"""How many trials run at once? As many as the cluster holds now, of the shape that the document gives them."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import replace

from eagleray.spec.scale import ScaleSpec
from eagleray.spec.sweep import SweepSpec
from eagleray.train import cluster
from eagleray.train.resources import Resources, WorkerShape, num_fitting, worker_shape
from eagleray.tune import schedulers

LOOK_INTERVAL_S = 2.0


def trial_shape(scale: ScaleSpec, *, embedded: bool) -> WorkerShape:
    """Return what each worker of a trial gets.

    One CPU, where the document does not say: two trials beside each other, with a thread each, are faster than one
    after another with two.
    """
    shape = worker_shape(scale, embedded=embedded)
    return shape if scale.cpus_per_worker is not None else replace(shape, num_cpus=1)


def limit(
    spec: SweepSpec,
    scale: ScaleSpec,
    shape: WorkerShape,
    *,
    resources: Callable[[], Resources] = cluster.resources,
    clock: Callable[[], float] = time.monotonic,
) -> Callable[[], float]:
    """Return how many trials Tune may have at once, as a function of what the cluster is when it is called.

    One more than fit, where Tune itself makes it wait for the resources: a process that has become free takes it at
    once, while Tune lets a second pass before it asks for another. Schedulers that let trials wait for each other have
    them all.
    """
    most = math.inf if spec.max_concurrent is None else spec.max_concurrent
    if isinstance(spec.scheduler, schedulers.PAUSES):
        return lambda: most
    return _Limit(most, scale.num_workers, shape, resources=resources, clock=clock)


class _Limit:
    """Asks the cluster now and then: nodes come and go."""

    def __init__(
        self,
        most: float,
        num_workers: int,
        shape: WorkerShape,
        *,
        resources: Callable[[], Resources],
        clock: Callable[[], float],
    ) -> None:
        self._most, self._num_workers, self._shape = most, num_workers, shape
        self._resources, self._clock = resources, clock
        self._asked_at, self._found = -math.inf, 0.0

    def __call__(self) -> float:
        now = self._clock()
        if now - self._asked_at > LOOK_INTERVAL_S:
            self._asked_at = now
            fitting = num_fitting(self._shape, self._resources()) // self._num_workers
            waiting = 1 if self._num_workers == 1 else 0
            self._found = min(fitting + waiting, self._most)
        return self._found
