"""How does a cluster come to know how far the life of a document is? The observer that writes it down there."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any, cast

from eagleray.errors import Interrupted, UserError
from eagleray.flow.publishing import NotPromoted
from eagleray.flow.steps import Observer, State
from eagleray.flow.teller import Teller
from eagleray.kube.in_cluster import Board
from eagleray.store.runs import ProgressRecord, RunRecord

EVERY_S = 5.0
_MAX_MESSAGE = 2000
_SCORED = ("sweep", "train", "evaluate")


@dataclass(frozen=True, slots=True)
class Told:
    """What is written; the operator reads it."""

    phase: str = ""
    run: str = ""
    steps: str = ""
    metric: str = ""
    version: str = ""
    outcome: str = ""
    message: str = ""


@contextmanager
def told(observer: Observer, board: Board | None, *, now: Callable[[], datetime] | None = None) -> Iterator[Observer]:
    """An observer that also has the life told on a board, from a thread beside it, its end included."""
    if board is None:
        yield observer
        return
    page = _Page(board, now=now or _now)
    teller = Teller(
        page.write,
        every_s=EVERY_S,
        on_trouble=lambda error: observer.warn(f"{error}; the run goes on"),
        name="progress",
    )
    teller.begin()  # what an earlier job told goes
    try:
        yield cast(Observer, _Telling(observer, page))
    except BaseException as error:
        page.note(**_ending(error))
        raise
    else:
        page.note(outcome="promoted")
    finally:
        teller.close()


class _Page:
    """What there is to be read on the board."""

    def __init__(self, board: Board, *, now: Callable[[], datetime]) -> None:
        self._board, self._now = board, now
        self._told = Told()
        self._written: Told | None = None
        self._lock = threading.Lock()

    def note(self, **new: str) -> None:
        """Have this written soon."""
        with self._lock:
            self._told = replace(self._told, **new)

    def write(self) -> None:
        """Write what is new. Raises ClusterError."""
        with self._lock:
            now = self._told
        if now != self._written:
            self._board.write({**asdict(now), "updated_at": self._now().isoformat()})
            self._written = now


class _Telling:
    """An observer of a life that hears of its steps."""

    def __init__(self, observer: Observer, page: _Page) -> None:
        self._observer, self._page = observer, page

    def __getattr__(self, name: str) -> Any:
        return getattr(self._observer, name)

    def step(self, step: str, state: State, detail: str) -> None:
        """A step of the life is this far."""
        if state == "begun":
            self._page.note(phase=step)
        elif state in ("there", "done"):
            self._page.note(**_of_step(step, detail))
        self._observer.step(step, state, detail)

    @contextmanager
    def training(self) -> Iterator[Any]:
        """A run's observer that hears how far it is."""
        inner: AbstractContextManager[Any] = self._observer.training()
        with inner as observer:
            yield _Counting(observer, self._page)


class _Counting:
    """An observer of a run that hears of its steps."""

    def __init__(self, observer: Any, page: _Page) -> None:
        self._observer, self._page = observer, page

    def __getattr__(self, name: str) -> Any:
        return getattr(self._observer, name)

    def created(self, record: RunRecord) -> None:
        """The run exists."""
        self._page.note(run=record.run)
        self._observer.created(record)

    def progress(self, progress: ProgressRecord) -> None:
        """The workers have come this far."""
        self._page.note(steps=f"{progress.step}/{progress.total_steps or '?'}")
        self._observer.progress(progress)


def _of_step(step: str, detail: str) -> dict[str, str]:
    """What a step's words say: `demo-0001, test f1_macro 0.9120, loss 0.2` or `demo@3`."""
    if step in _SCORED:
        run, *scores = [part.strip() for part in detail.split(", ")]
        if not scores or " " in run:  # of an evaluation: the figures alone
            run, scores = "", [run]
        named = {"run": run} if run and step != "sweep" else {}
        first = scores[0].removeprefix("test ").removeprefix("validation ")
        return {**named, **({"metric": first} if first[-1:].isdigit() else {})}
    if step == "register":
        return {"version": detail.rpartition("@")[2]}
    return {}


def _ending(error: BaseException) -> dict[str, str]:
    """How it ended, and why; a run that was stopped has not ended."""
    match error:
        case NotPromoted():
            outcome = "not-promoted"
        case UserError():
            outcome = "refused"
        case Interrupted() | KeyboardInterrupt() | SystemExit():
            return {"message": str(error)[:_MAX_MESSAGE]}
        case _:
            outcome = "failed"
    return {"outcome": outcome, "message": (str(error) or type(error).__name__)[:_MAX_MESSAGE]}


def _now() -> datetime:
    return datetime.now(UTC)
