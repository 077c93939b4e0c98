"""Which checkpoints of a sweep stay: the best one of each of the best trials, and what running trials go on from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from eagleray.store import checkpoints, ranking, sweeps
from eagleray.store.objects import Objects
from eagleray.store.sweeps import Sweep


class Pruner:
    """Says what can be deleted as trials end."""

    def __init__(self, objects: Objects, *, keep: int, at_end_only: bool) -> None:
        self._objects, self._keep, self._at_end_only = objects, keep, at_end_only
        self._num_ended = 0

    def due(self, sweep: Sweep) -> Iterator[Callable[[], None]]:
        """Yield what is to be done since the last call; it may be done later, and twice."""
        num_ended = sum(trial.state in sweeps.ENDED for trial in sweep.trials)
        if num_ended == self._num_ended or self._at_end_only:
            return
        self._num_ended = num_ended
        yield partial(prune, self._objects, sweep, keep=self._keep)


def prune(objects: Objects, sweep: Sweep, *, keep: int) -> None:
    """Delete the checkpoints of all trials that have ended but the best one of each of the `keep` best."""
    ended = [trial for trial in sweep.trials if trial.state in sweeps.ENDED]
    ordered = ranking.ranked(ended, objectives=sweep.objectives, constraints=sweep.constraints)
    kept = {trial.number for trial in ordered[:keep]}
    for trial in ended:
        best = ranking.best_checkpoint(objects, trial, sweep.objectives) if trial.number in kept else None
        for life in trial.lives:
            kept_id = best.id if best is not None and best.run == life.run else None
            checkpoints.delete_all_but(objects, life.run, kept_id)
