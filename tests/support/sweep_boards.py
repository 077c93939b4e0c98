"""A board whose clock, search and capacity a test decides on, and whose events are a list."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from eagleray.spec.checkpoint import BestBySpec
from eagleray.store.events import Event
from eagleray.store.sweeps import Log, Trial
from eagleray.tune.board import Board
from eagleray.tune.grid import Params
from eagleray.tune.proposals import Plan
from tests.support import sweep_documents
from tests.support.sweep_events import OBJECTIVES

KEY = "train.epochs"
PLAN = Plan(
    best_by=BestBySpec(metric="f1_macro", mode="max"), evaluate_every_steps=10, saves_each_evaluation=False, keep=1
)


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


class Counting:
    """A search that proposes 1, 2, 3, … epochs, by the turns that it is asked for."""

    def __init__(self, epochs: Iterable[int] | None = None) -> None:
        self._epochs = None if epochs is None else list(epochs)
        self.told: list[Trial] = []

    def ask(self, number: int, *, turn: int, known: Params) -> Params | None:
        """See search.Search."""
        if known:
            return known
        if self._epochs is None:
            return {KEY: turn + 1}
        return {KEY: self._epochs[turn]} if turn < len(self._epochs) else None

    def tell(self, trial: Trial) -> None:
        """See search.Search."""
        self.told.append(trial)


@dataclass
class Driven:
    """A board, and what a test moves and sees."""

    board: Board
    search: Counting
    clock: Clock
    events: list[Event] = field(default_factory=list)

    def evaluate(self, number: int, step: int, *, life: int = 1, first_step: int = 0, **told: Any) -> None:
        """A trial tells an evaluation, a second a step."""
        self.board.reported(number, result(number, step, life=life, first_step=first_step, **told))

    def finish(self, number: int, *, f1_macro: float | None = None, step: int = 90, state: str = "finished") -> None:
        """A trial is evaluated once, and has ended."""
        metrics = {} if f1_macro is None else {"f1_macro": f1_macro}
        last = result(number, step, metrics=metrics, state=state)
        self.board.reported(number, last)
        self.board.ended(number, last)

    def kinds(self) -> list[str]:
        """What was written, in its order."""
        return [event.kind for event in self.events]


def result(number: int, step: int, *, life: int = 1, first_step: int = 0, **told: Any) -> dict[str, Any]:
    """What the actor of a trial tells."""
    run = {"run": f"trial-{number}-{life:04d}", "first_step": first_step, "step": 0, "seconds": 0.0}
    facts = {"life": run, "donor": None, "seconds": float(step - first_step), "metrics": {"f1_macro": 0.5}}
    return {"step": step, "total_steps": 90, **facts, **told}


def driven(
    *,
    epochs: Iterable[int] | None = None,
    points: Sequence[tuple[str, Params]] = (),
    earlier: Iterable[Event] = (),
    capacity: Callable[[], float] = lambda: 100.0,
    setup: Mapping[str, Any] | None = None,
    **sweep: str,
) -> Driven:
    """A board of a document with these keys of `sweep`, that a driver has just begun with."""
    document = sweep_documents.loaded("train.epochs: {int_uniform: [1, 9]}", **sweep)
    log, clock, search = Log(), Clock(), Counting(epochs)
    log.read(earlier)
    written: list[Event] = []
    board = Board(document, PLAN, search, log=log, points=points, write=written.append, capacity=capacity, clock=clock)
    facts = {"total_steps": 90, "num_devices": 1.0, "device": "CPU", "objectives": OBJECTIVES, "constraints": ()}
    board.started(**{**facts, **(setup or {})})
    return Driven(board, search, clock, written)


def proposed(found: Driven, most: int = 20) -> list[Any]:
    """What is proposed until there is nothing more."""
    return list(itertools.islice(iter(found.board.propose, None), most))
