"""Which checkpoints of a sweep stay: the best one of each of the best trials, and what running trials go on from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from eagleray.store import checkpoints, lease, ranking, sweeps
from eagleray.store.objects import Objects
from eagleray.store.sweeps import Sweep, Trial


class Pruner:
    """Says what can be deleted as trials end."""

    def __init__(self, objects: Objects, *, keep: int, at_end_only: bool) -> None:
        self._objects, self._keep, self._at_end_only = objects, keep, at_end_only
        self._done: dict[int, bool] = {}  # trial: whether it was among the best when it was pruned
        self._waiting: set[int] = set()  # trials whose turn was yielded and has not come yet

    def due(self, sweep: Sweep) -> Iterator[Callable[[], None]]:
        """Yield what is to be done since the last call; it may be done later, and twice."""
        if self._at_end_only:
            return
        for trial, is_kept in _ended(sweep, self._keep):
            if self._done.get(trial.number) != is_kept and trial.number not in self._waiting:
                self._waiting.add(trial.number)
                yield partial(self._prune, trial, sweep, is_kept=is_kept)

    def _prune(self, trial: Trial, sweep: Sweep, *, is_kept: bool) -> None:
        # Its last checkpoint may still be on its way: the process that writes it releases the lease after that.
        if all(lease.is_released(self._objects, life.run) for life in trial.lives):
            _prune(self._objects, trial, sweep, is_kept=is_kept)
            self._done[trial.number] = is_kept
        self._waiting.discard(trial.number)


def prune(objects: Objects, sweep: Sweep, *, keep: int) -> None:
    """Delete the checkpoints of all trials that have ended but the best one of each of the `keep` best."""
    for trial, is_kept in _ended(sweep, keep):
        _prune(objects, trial, sweep, is_kept=is_kept)


def _ended(sweep: Sweep, keep: int) -> Iterator[tuple[Trial, bool]]:
    """The trials that have ended, and whether each is among the best."""
    ended = [trial for trial in sweep.trials if trial.state in sweeps.ENDED]
    ordered = ranking.ranked(ended, objectives=sweep.objectives, constraints=sweep.constraints)
    kept = {trial.number for trial in ordered[:keep]}
    for trial in ended:
        yield trial, trial.number in kept


def _prune(objects: Objects, trial: Trial, sweep: Sweep, *, is_kept: bool) -> None:
    best = ranking.best_checkpoint(objects, trial, sweep.objectives) if is_kept else None
    for life in trial.lives:
        kept_id = best.id if best is not None and best.run == life.run else None
        checkpoints.delete_all_but(objects, life.run, kept_id)
