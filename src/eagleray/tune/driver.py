"""What the driver of a sweep does while Ray Tune runs trials: looks on, keeps the log, makes the best one a run."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, Protocol

from eagleray.errors import EaglerayError, Interrupted, StorageError, TrainingError
from eagleray.model import export
from eagleray.report import sweep as report
from eagleray.spec import space
from eagleray.spec.document import dump
from eagleray.spec.finetune import FineTune
from eagleray.spec.sweep import ObjectiveSpec, SweepSpec
from eagleray.store import checkpoints, events, failures, lease, paths, ranking, runs, stops, sweeps
from eagleray.store.failures import FailureRecord
from eagleray.store.lease import LeaseLost
from eagleray.store.objects import Objects, open_storage
from eagleray.store.patience import persist
from eagleray.store.renewal import Renewal
from eagleray.store.runs import RunRecord
from eagleray.store.sweeps import Log, Sweep, Trial
from eagleray.train import publication
from eagleray.train.driver import GO_ON
from eagleray.train.observer import Observer
from eagleray.train.recorder import CLOSING_S, BackgroundWriter
from eagleray.train.signals import Signals
from eagleray.tune import capacity, disk, proposals, search
from eagleray.tune.board import Board
from eagleray.tune.life import Shared

WRITE_INTERVAL_S = 0.2
LOOK_INTERVAL_S = 0.5
ASK_INTERVAL_S = 2.0
"""How often trials that go on are asked to stop, once somebody wants it: one may just have begun."""
ENDING_S = 30.0
"""How long a search that is given up may take to end its trials: a step of theirs, and no more than a user waits."""
AT_ONCE_S = 3.0
"""The same, where the user wants it to end at once."""


class SweepObserver(Observer, Protocol):
    """Who looks on: told what happens, in the driver's process."""

    def sweep(self, sweep: Sweep, going: frozenset[int]) -> None:
        """The sweep has come this far; `going` are the trials that have workers now."""


class Searching(Protocol):
    """A search that goes on beside the driver, and asks the board."""

    def has_ended(self, within_s: float) -> bool:
        """Wait so long at most; raises what has gone wrong in the search itself."""

    def wait(self, within_s: float) -> None:
        """Wait so long at most, however it ends."""


@dataclass(frozen=True, slots=True)
class Setup:
    """What follows from the document and the data."""

    spec: SweepSpec
    objectives: tuple[ObjectiveSpec, ...]
    total_steps: int  # of a trial that comes to its end
    plan: proposals.Plan
    points: tuple[tuple[str, dict[str, Any]], ...]  # known configurations, and who knows them
    facts: dict[str, Any]  # for the log


class Driver:
    """Drives one sweep, whose lease it holds, to its end."""

    def __init__(
        self,
        objects: Objects,
        document: FineTune,
        setup: Setup,
        shared: Shared,
        *,
        run: str,
        held: Renewal,
        observer: SweepObserver,
    ) -> None:
        self._objects, self._trials, self._run = objects, open_storage(shared.storage), run
        self._document, self._setup, self._shared = document, setup, shared
        self._held, self._observer = held, observer
        self._signals = Signals()

    def drive(self, begin: Callable[[Board], Searching]) -> RunRecord:
        """Look on while what `begin` starts searches; returns the record, or raises why it failed or was stopped.

        Of a fault in the software or its libraries the traceback lies beside the record, and the error names the file.
        """
        with self._signals.kept():
            try:
                return self._drive(begin)
            except KeyboardInterrupt as error:
                raise self._stopped("at once") from error
            except (Interrupted, LeaseLost):  # the record says it, or is another's
                raise
            except EaglerayError as error:
                self._note_failed(error)
                raise
            except Exception as error:
                reason = self._unforeseen(error)
                self._note_failed(reason)
                raise reason from error

    def _drive(self, begin: Callable[[Board], Searching]) -> RunRecord:
        self._update(phase="running", ended_at=None, error="")
        torn = events.drop_torn_end(self._objects, self._run)
        if torn:
            self._observer.warn(f"the last entry of the sweep's log is left out: {torn}")
        log = Log()
        log.read(events.read_events(self._objects, self._run))
        with self._writer() as writer:
            board = self._board(log, writer)
            board.started(**self._setup.facts)
            self._search(begin(board), board, writer)
            if self._signals.received is None:
                board.finish()
        if writer.error is not None:
            raise writer.error
        if self._signals.received is not None:
            num_left = len([trial for trial in board.sweep.trials if trial.state not in sweeps.ENDED])
            raise self._stopped(f"with {len(board.sweep.trials) - num_left} trials done and {num_left} saved half-way")
        return self._conclude(board.sweep)

    def _board(self, log: Log, writer: BackgroundWriter) -> Board:
        spec = self._setup.spec
        appender = events.Writer(self._objects, self._run)
        return Board(
            self._document,
            self._setup.plan,
            search.build(spec.search, spec.space, objectives=self._setup.objectives, constraints=spec.constraints),
            log=log,
            points=self._setup.points,
            write=lambda event: writer.put(lambda: appender.append(event)),
            capacity=capacity.limit(spec, self._document.spec.scale, self._shared.shape),
        )

    @contextmanager
    def _writer(self) -> Iterator[BackgroundWriter]:
        """What goes to the storage goes there behind the search, in order, and only as long as the lease is held."""
        writer = BackgroundWriter(self._check_lease, interval_s=WRITE_INTERVAL_S)
        try:
            yield writer
        finally:
            writer.close(give_up_after_s=CLOSING_S)

    def _search(self, searching: Searching, board: Board, writer: BackgroundWriter) -> None:
        """Look on while Tune runs; what goes wrong meanwhile ends the trials, while the cluster is still there."""
        try:
            self._look_on(searching, board, writer)
        except BaseException as error:
            board.abandon()
            searching.wait(AT_ONCE_S if isinstance(error, KeyboardInterrupt) else ENDING_S)
            raise
        self._observer.sweep(board.sweep, frozenset())

    def _look_on(self, searching: Searching, board: Board, writer: BackgroundWriter) -> None:
        """Return when the search has ended; ask trials to stop where a signal has come."""
        at_end_only = self._setup.plan.saves_each_evaluation
        pruner = disk.Pruner(self._trials, keep=self._setup.spec.keep, at_end_only=at_end_only)
        asked_at = 0.0
        while not searching.has_ended(LOOK_INTERVAL_S):
            self._observer.sweep(board.sweep, board.going)
            for prune in pruner.due(board.sweep):
                writer.put(prune)
            if self._held.lost.is_set():
                self._check_lease()
            if writer.error is not None:
                raise writer.error
            if self._signals.received is None:
                continue
            if not asked_at:
                board.stop()
                self._observer.say("no new trials; saving those that run. Ctrl-C again stops at once")
            if time.monotonic() - asked_at > ASK_INTERVAL_S:
                asked_at = time.monotonic()
                self._ask_to_stop(board.going)

    def _ask_to_stop(self, going: frozenset[int]) -> None:
        for number in going:
            try:
                record = next(runs.of_name(self._trials, sweeps.trial_name(number)), None)
                newest = lease.newest_number(self._trials, record.run) if record else 0
                if record and newest:
                    stops.request(self._trials, record.run, newest, reason="interrupt", now=_now())
            except StorageError as error:  # asked again soon
                self._observer.warn(str(error))

    def _conclude(self, sweep: Sweep) -> RunRecord:
        """Make the best trial's checkpoint this run's, and leave no other than the best ones'."""
        ordered = ranking.ranked(sweep.trials, objectives=sweep.objectives, constraints=sweep.constraints)
        chosen = next(filter(None, map(self._saved, ordered)), None)
        if chosen is None:
            self._write_report(sweep, "")
            raise TrainingError(f"{self._run}: {ranking.why_none(sweep)}")
        trial, manifest = chosen
        best = proposals.document(self._document, self._setup.plan, number=trial.number, params=trial.params)
        metrics = {"validation": manifest.metrics}
        publication.adopt(
            self._trials,
            manifest,
            self._objects,
            self._run,
            card=export.model_card(run=self._run, spec=best.spec, metrics=metrics, step=manifest.step),
            check=self._check_lease,
            on_trouble=lambda error: self._observer.warn(f"{error}; trying again"),
        )
        disk.prune(self._trials, sweep, keep=self._setup.spec.keep)
        self._write_report(sweep, dump(space.apply(self._document, trial.params)))
        return self._update(
            phase="succeeded",
            ended_at=_now(),
            step=sweep.num_steps,
            best_step=manifest.step,
            metrics=metrics,
        )

    def _saved(self, trial: Trial) -> tuple[Trial, checkpoints.Manifest] | None:
        """The trial with its best checkpoint, if that is on the storage and whole."""
        manifest = ranking.best_checkpoint(self._trials, trial, self._setup.objectives)
        if manifest is None or checkpoints.verify(self._trials, manifest.run, manifest.id):
            self._observer.warn(f"trial {trial.number}: its best checkpoint is not whole; taking the next best")
            return None
        return trial, manifest

    def _write_report(self, sweep: Sweep, best_document: str) -> None:
        page = report.render(
            sweep,
            run=self._run,
            objectives=sweep.objectives,
            constraints=sweep.constraints,
            best_document=best_document,
        )
        self._patiently(partial(self._objects.put, paths.report(self._run), page.encode()))

    def _unforeseen(self, error: Exception) -> TrainingError:
        """The error that tells of a fault, its traceback written to the storage."""
        failure = FailureRecord(
            attempt=self._held.number,
            rank=0,
            kind=type(error).__name__,
            message=str(error) or repr(error),
            traceback="".join(traceback.format_exception(error)),
            at=_now(),
        )
        self._patiently(lambda: failures.write(self._objects, self._run, failure))
        place = failures.traceback_place(self._objects, self._run, failure)
        return TrainingError(f"{self._run}: the search failed: {_cause(error)}\n{GO_ON}; its traceback: {place}")

    def _note_failed(self, reason: EaglerayError) -> None:
        """Write down that the sweep has failed, where the storage takes it: it may be what has failed."""
        try:
            self._update(phase="failed", ended_at=_now(), error=str(reason))
        except StorageError as error:
            self._observer.warn(str(error))

    def _stopped(self, how: str) -> Interrupted:
        self._update(phase="stopped", ended_at=_now())
        return Interrupted(f"{self._run} was stopped {how}: {GO_ON}", exit_code=self._signals.exit_code)

    def _check_lease(self) -> None:
        lease.check(self._objects, self._run, self._held.number)

    def _update(self, **changes: Any) -> RunRecord:
        def update() -> RunRecord:
            self._check_lease()
            record = runs.read(self._objects, self._run).model_copy(update=changes)
            runs.save(self._objects, record)
            return record

        found: RunRecord = self._patiently(update)
        return found

    def _patiently(self, operation: Callable[[], Any]) -> Any:
        return persist(operation, on_trouble=lambda error: self._observer.warn(f"{error}; trying again"))


def _cause(error: Exception) -> str:
    """The first line of an error; where Tune has made a text of a traceback, of the error at its end."""
    text = "".join(traceback.format_exception_only(error)).rpartition("Traceback (most recent call last):\n")[2]
    return next(line for line in text.splitlines() if line and not line[0].isspace())


def _now() -> datetime:
    return datetime.now(UTC)
