"""The state of a sweep in its driver: what is tried next, what has been told of each trial, and whether it is enough.

Ray Tune calls it, by `adapters`, from the one thread in which it runs.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Literal

from eagleray.errors import DocumentError
from eagleray.spec.finetune import FineTune
from eagleray.store import ranking, sweeps
from eagleray.store.events import Event
from eagleray.store.sweeps import Log, Sweep, Trial
from eagleray.tune import proposals
from eagleray.tune.grid import Params
from eagleray.tune.search import Search

WAIT: Literal["wait"] = "wait"
_MAX_REFUSED = 1000
"""Configurations in a row that the document refuses: so many and the space holds no other."""


class Board:
    """Every fact goes through `_tell`: the log and what is known here are always the same."""

    def __init__(
        self,
        document: FineTune,
        plan: proposals.Plan,
        search: Search,
        *,
        log: Log,
        points: Iterable[tuple[str, Params]],
        write: Callable[[Event], None],
        capacity: Callable[[], float],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`log` has read the events there are; `points` are known configurations, each with who knows it."""
        spec = document.spec.sweep
        assert spec is not None
        self._document, self._plan, self._search, self._spec = document, plan, search, spec
        self._log, self._write, self._capacity = log, write, capacity
        self._clock, self._started_at = clock, clock()
        tried = {trial.source for trial in log.sweep.trials if trial.source != "search"}
        self._points = deque(point for point in points if point[0] not in tried)
        self._unfinished = deque(trial for trial in log.sweep.trials if trial.state not in sweeps.ENDED)
        self._going: set[int] = set()
        self._lives: dict[int, Mapping[str, Any]] = {}
        self._is_stopping = False
        self.is_abandoned = False
        """Whether trials have to stop at once, whatever becomes of them."""
        for trial in log.sweep.trials:
            if trial.state in sweeps.ENDED:
                search.tell(trial)

    @property
    def sweep(self) -> Sweep:
        """All that is known. Another thread may read it."""
        return self._log.sweep

    @property
    def going(self) -> frozenset[int]:
        """The trials that Tune has now."""
        return frozenset(self._going)

    def stop(self) -> None:
        """Propose nothing any more. Any thread may call it."""
        self._is_stopping = True

    def abandon(self) -> None:
        """Let nothing go on. Any thread may call it."""
        self.is_abandoned = self._is_stopping = True

    def started(self, **setup: Any) -> None:
        """Note that a driver begins, with what the sweep is set up for."""
        self._tell("sweep-started", **setup)

    def propose(self) -> tuple[int, Params] | Literal["wait"] | None:
        """Return the next trial; "wait" while no more fit, None where there will be no more."""
        if self._is_stopping:
            return None
        if not self._unfinished and (self.over() or self._all_proposed()):
            return None
        if len(self._going) >= self._capacity():
            return WAIT
        if not self._unfinished:
            return self._ask()
        trial = self._unfinished.popleft()
        self._going.add(trial.number)
        return trial.number, dict(trial.params)

    def reported(self, number: int, result: Mapping[str, Any]) -> None:
        """Learn what a trial's actor has told."""
        life = result.get("life")
        if life is not None and self._lives.get(number) != life:
            self._lives[number] = life
            if result["donor"] is not None:
                facts = {"params": result["params"], "donor": result["donor"], "step": life["first_step"]}
                self._tell("trial-changed", trial=number, **facts)
            self._tell("trial-started", trial=number, run=life["run"], first_step=life["first_step"])
        state = result.get("state")
        # The last word of a trial may come with its last evaluation, or repeat the one before.
        is_new = state is None or (state == "finished" and result["step"] > self._last_reported(number))
        if "metrics" in result and is_new:
            facts = {name: result[name] for name in ("step", "metrics", "seconds")}
            self._tell("trial-reported", trial=number, **facts)

    def ended(self, number: int, result: Mapping[str, Any]) -> None:
        """Learn that a trial is over: by itself, or because it was stopped early."""
        self._going.discard(number)
        state = result.get("state") or "pruned"
        if state == "stopped":
            self._tell("trial-stopped", trial=number, step=result["step"], seconds=result["seconds"])
            return
        error = result.get("error") or (self.over() if state == "pruned" else "")
        self._end(number, state, error=error, step=result.get("step", 0), seconds=result.get("seconds", 0.0))

    def failed(self, number: int, error: str) -> None:
        """Learn that a trial has failed, and was tried often enough."""
        self._going.discard(number)
        trial = self._trial(number)
        self._end(number, "failed", error=error, step=trial.step, seconds=trial.lives[-1].seconds if trial.lives else 0)

    def restarted(self, number: int, error: str) -> None:
        """Learn that a trial is tried again: its next life may begin where the last one did."""
        self._lives.pop(number, None)
        self._tell("trial-restarted", trial=number, error=error)

    def over(self) -> str:
        """Return why the sweep is over, trials that still go on or not; empty where it is not."""
        budget, sweep = self._spec.budget, self.sweep
        used = {
            "steps": sweep.num_steps,
            "device_hours": sweep.device_hours,
            "hours": (sweep.seconds + self._since_last_event()) / 3600,
        }
        for name, amount in used.items():
            bound = getattr(budget, name)
            if bound is not None and amount >= bound:
                return f"budget.{name} ({bound:g}) is used up"
        return ""

    def why_ended(self) -> str:
        """Return why no more is proposed; empty where it was interrupted."""
        if self._is_stopping:
            return ""
        return self.over() or self._all_proposed() or "every configuration of the space was tried"

    def finish(self) -> None:
        """Note that the search has come to its end."""
        self._tell("sweep-ended", reason=self.why_ended())

    def _all_proposed(self) -> str:
        budget, trials = self._spec.budget, self.sweep.trials
        if budget.trials is not None and len(trials) >= budget.trials:
            return f"budget.trials ({budget.trials}) are tried"
        plateau = self._spec.plateau
        if plateau is not None and self._num_without_better(plateau.min_delta) >= plateau.trials:
            return f"the last {plateau.trials} trials were not better (plateau)"
        return ""

    def _num_without_better(self, min_delta: float) -> int:
        """Trials that have ended since the best of those that keep the constraints did, in the order of their ends."""
        objectives, constraints = self.sweep.objectives, self.sweep.constraints
        by = ranking.primary(objectives)
        sign = 1.0 if by.mode == "max" else -1.0
        highest, since = None, 0
        for number in self._log.end_order:
            report = ranking.best_report(self._trial(number), objectives)
            counts = report is not None and ranking.violation(report.metrics, constraints) == 0.0
            value = sign * report.metrics[by.metric] if report and counts else None
            if value is not None and (highest is None or value > highest + min_delta):
                highest, since = value, 0
            else:
                since += 1
        return since

    def _ask(self) -> tuple[int, Params] | None:
        """The next configuration that the document takes; those that it refuses are trials that have ended."""
        for _ in range(_MAX_REFUSED):
            number = len(self.sweep.trials)
            source, known = self._points.popleft() if self._points else ("search", {})
            turn = sum(trial.source == "search" for trial in self.sweep.trials)
            params = self._search.ask(number, turn=turn, known=known)
            if params is None:
                return None
            self._tell("trial-created", trial=number, params=params, source=source)
            try:
                proposals.document(self._document, self._plan, number=number, params=params)
            except DocumentError as error:
                told = "; ".join(f"{finding.path}: {finding.message}" for finding in error.findings)
                self._end(number, "unfit", error=told, step=0, seconds=0.0)
                if self._all_proposed():
                    return None
                continue
            self._going.add(number)
            return number, params
        return None

    def _end(self, number: int, state: str, **facts: Any) -> None:
        self._tell("trial-ended", trial=number, state=state, **facts)
        self._search.tell(self._trial(number))

    def _trial(self, number: int) -> Trial:
        return self._log.trial(number)

    def _last_reported(self, number: int) -> int:
        reports = self._trial(number).reports
        return reports[-1].step if reports else 0

    def _since_last_event(self) -> float:
        return self._clock() - self._started_at - self._log.clock_s

    def _tell(self, kind: str, **fields: Any) -> None:
        event = Event(kind=kind, at=datetime.now(UTC), fields={**fields, "clock_s": self._clock() - self._started_at})
        self._log.read([event])
        self._write(event)
