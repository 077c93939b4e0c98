"""What is a step of a document's life, and who is told of it?"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, Protocol

if TYPE_CHECKING:  # these modules bring torch and Ray
    from eagleray.store.keys import NewKey
    from eagleray.train.observer import Observer as TrainObserver
    from eagleray.tune.driver import SweepObserver

STEPS: Final = (
    "preflight",
    "stages",
    "data",
    "sweep",
    "train",
    "evaluate",
    "register",
    "gate",
    "promote",
    "deploy",
    "verify",
)
State = Literal["there", "to do", "begun", "done"]


@dataclass(frozen=True, slots=True)
class Step:
    """One step: what it left behind, in words, or None where it is to be done; and how it is done."""

    name: str
    find: Callable[[], str | None]
    do: Callable[[], str]


class Observer(Protocol):
    """Is told how a life goes."""

    def say(self, message: str) -> None: ...
    def warn(self, message: str) -> None: ...
    def step(self, step: str, state: State, detail: str) -> None: ...
    def sweeping(self) -> AbstractContextManager[SweepObserver]: ...
    def training(self) -> AbstractContextManager[TrainObserver]: ...
    def key(self, made: NewKey) -> None: ...
