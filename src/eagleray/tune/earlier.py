"""What does a document do about earlier sweeps: go on with one, begin anew, or take over the best of one?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from eagleray.errors import UserError
from eagleray.spec import space
from eagleray.spec.search import PbtSpec
from eagleray.spec.sweep import SweepSpec
from eagleray.store import events, ranking, runs, sweeps
from eagleray.store.objects import Objects
from eagleray.store.runs import RunRecord
from eagleray.train import changes
from eagleray.train.changes import Basis
from eagleray.train.resumption import Earlier, GoOn, New

MAY_CHANGE = ("budget", "plateau", "max_concurrent", "retries", "keep", "final")
"""Keys of `sweep` that say how long and how much, not what is searched."""
_MEAN_MORE = ("sweep.budget", "sweep.plateau")
"""Keys that ask for another search where one has come to its end."""


@dataclass(frozen=True, slots=True)
class Finished:
    """The same search has come to its end: begin anew, unless it is the last run that is wanted."""

    run: RunRecord


def decide(there: Earlier | None, wanted: Basis) -> GoOn | Finished | New:
    """Decide what a sweep does about the newest one of its name.

    Raises:
        UserError: it is not finished, and going on would mix what was searched by another document.
    """
    if there is None:
        return New()
    changed = changes.differences(there.basis, wanted)
    decisive = [change for change in changed if change.effect != "nothing" or _is_search(change.path)]
    if there.run.phase == "succeeded":
        asks_more = any(change.path.startswith(_MEAN_MORE) for change in changed)
        return New() if decisive or asks_more else Finished(there.run)
    if not decisive:
        return GoOn(there.run, changed)
    listed = "\n".join(f"  {change}" for change in decisive)
    raise UserError(
        f"sweep {there.run.run} ({there.run.phase}) is not finished, and this document searches something else:\n"
        f"{listed}\nPut these back to go on with it; --new begins a new sweep"
    )


def check_schedule(spec: SweepSpec) -> None:
    """Raise UserError where population based training is to change what cannot change in mid-run."""
    if not isinstance(spec.scheduler, PbtSpec):
        return
    for key in spec.space:
        if changes.effect(key) in ("start", "weights"):
            raise UserError(
                f'spec.sweep.space."{key}": population based training changes values in mid-run, and this one cannot '
                "change there: search it with another scheduler, or leave it out"
            )
        if spec.space[key].when:
            raise UserError(
                f'spec.sweep.space."{key}".when: population based training knows no conditions: leave it out'
            )


def warm_points(objects: Objects, spec: SweepSpec, *, except_run: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the best configurations of the sweep that this one is to begin with, as far as they are in its space.

    Raises:
        UserError: there is no such sweep, or it has no trial with a value.
    """
    if spec.warm_start is None:
        return
    source = runs.find(objects, spec.warm_start.sweep)
    if source.kind != sweeps.KIND or source.run == except_run:
        raise UserError(
            f"spec.sweep.warm_start.sweep: {source.run} is no earlier sweep: `eagleray runs list` shows them"
        )
    sweep = sweeps.read(events.read_events(objects, source.run))
    ordered = ranking.ranked(sweep.trials, objectives=sweep.objectives, constraints=sweep.constraints)
    if not ordered:
        raise UserError(f"spec.sweep.warm_start.sweep: no trial of {source.run} has a value of its objective")
    for place, trial in enumerate(ordered[: spec.warm_start.best], start=1):
        if point := _in_space(spec, trial.params):
            yield f"{source.run}, best {place}", point


def _in_space(spec: SweepSpec, params: Mapping[str, Any]) -> dict[str, Any]:
    """The values that may be in this space, too."""
    plain = {key: tuple(value) if isinstance(value, list) else value for key, value in params.items()}
    return {key: value for key, value in plain.items() if key in spec.space and space.holds(spec.space[key], value)}


def _is_search(path: str) -> bool:
    """Whether a key decides on what is searched."""
    section, _, key = path.partition(".")
    return section == "sweep" and key.partition(".")[0] not in MAY_CHANGE
