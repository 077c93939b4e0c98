"""What the driver does while a run goes on: starts attempts, looks on, asks them to stop, decides when they end."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, TypeVar

from ray.exceptions import RayError
from ray.train import ControllerError, TrainingFailedError
from ray.train.v2.api.exceptions import PreemptionError

from eagleray.errors import ClusterError, EaglerayError, Interrupted, StorageError
from eagleray.spec.finetune import FineTune
from eagleray.store import checkpoints, events, failures, lease, runs, stops
from eagleray.store.failures import FailureRecord
from eagleray.store.lease import LeaseLost
from eagleray.store.objects import ObjectMissing, Objects
from eagleray.store.patience import GIVE_UP_AFTER_S, persist
from eagleray.store.records import Damaged
from eagleray.store.renewal import Renewal
from eagleray.store.runs import ProgressRecord, RunRecord
from eagleray.train import attempts, capacity, casualties, cluster
from eagleray.train.assembly import Job
from eagleray.train.attempt import Attempt, Lost
from eagleray.train.observer import ASKED, Observer
from eagleray.train.resources import WorkerShape, num_fitting
from eagleray.train.session import Outcome
from eagleray.train.signals import Signals

POLL_INTERVAL_S = 0.5
LOOK_INTERVAL_S = 2.0
"""How often the cluster and the run's events are looked at."""
WAITED_S = 10.0
"""How long a storage is still waited for that the workers have given up: that was as long as makes sense."""
T = TypeVar("T")

GO_ON = "run the same command again to go on"


class Driver:
    """Drives one run, whose lease it holds, to its end."""

    def __init__(
        self,
        objects: Objects,
        document: FineTune,
        job: Job,
        shape: WorkerShape,
        *,
        renewal: Renewal,
        observer: Observer,
    ) -> None:
        self._objects, self._run = objects, job.run
        self._scale, self._budgets = document.spec.scale, document.spec.failures
        self._job, self._shape = job, shape
        self._renewal, self._observer = renewal, observer
        self._signals = Signals()
        self._events = events.Reader(objects, job.run)
        self._nodes: set[str] = set()  # of the attempt that is going on
        self._micro_batch_size: int | None = None
        self._progress: ProgressRecord | None = None
        self._has_started = False  # the workers of some attempt
        self._looked_at, self._could_grow = 0.0, False
        self._patience_s = GIVE_UP_AFTER_S

    def drive(self) -> RunRecord:
        """Start attempts until the run has ended; returns its record, or raises why it failed or was stopped."""
        with self._signals.kept():
            try:
                return self._drive()
            except KeyboardInterrupt as error:
                raise self._stopped("at once") from error

    def _drive(self) -> RunRecord:
        self._update(phase="running", ended_at=None, error="")
        self._progress = self._patiently(lambda: runs.read_progress(self._objects, self._run))
        self._patiently(self._events.new)
        number = self._first_number()
        while True:
            self._observer.say(f"starting {number} worker{'s' if number > 1 else ''}")
            attempt = Attempt(self._job, num_workers=number, shape=self._shape)
            try:
                ended, asked = self._watch(attempt)
            except Exception:
                attempt.abandon()  # else they would go on without a driver as long as there is a Ray
                raise
            if isinstance(ended, Lost):
                self._recover(ended.error, number, is_preempted=asked == "preemption")
            elif ended.stop_reason is None:
                return self._end(
                    phase="succeeded", step=ended.step, best_step=ended.best_step, metrics=ended.metrics or {}
                )
            else:
                self._pause(0)
                self._note_restart(ended.stop_reason, saved_step=ended.step, step=ended.step)
            number = self._next_number()
            self._job = replace(self._job, lease=self._patiently(self._renewal.succeed).number)

    def _first_number(self) -> int:
        """All workers; of an elastic run as many as fit now. Where others use the cluster, Ray says what is missing."""
        if self._scale.min_workers is None:
            return self._scale.num_workers
        fitting = num_fitting(self._shape, cluster.free())
        return max(self._scale.min_workers, min(fitting, self._scale.num_workers))

    def _next_number(self) -> int:
        """As many workers as fit, once enough do."""
        try:
            return capacity.wait(
                self._scale,
                self._shape,
                timeout_s=self._budgets.wait_for_workers_s,
                say=self._observer.say,
                pause=self._pause,
            )
        except ClusterError as error:
            raise self._failed(error) from error

    def _watch(self, attempt: Attempt) -> tuple[Outcome | Lost, stops.Reason | None]:
        """Look on until the attempt has ended; ask it to stop where there is a reason."""
        asked: stops.Reason | None = None
        self._nodes, self._could_grow = set(), False
        while (ended := attempt.wait(POLL_INTERVAL_S)) is None:
            if self._renewal.lost.is_set():
                self._check_lease()
            self._show_progress()
            is_time_to_look = time.monotonic() - self._looked_at > LOOK_INTERVAL_S
            if is_time_to_look:
                self._looked_at = time.monotonic()
                self._show_events()
            wanted = self._signals.reason or (self._cluster_wants(attempt) if is_time_to_look else None)
            if asked is None and wanted is not None:
                asked = self._ask_to_stop(attempt, wanted)
        self._show_progress()
        self._show_events()
        return ended, asked

    def _cluster_wants(self, attempt: Attempt) -> stops.Reason | None:
        """Whether a node of the attempt will be taken away, or there is room for more workers (seen twice)."""
        if self._nodes & cluster.draining():
            return "preemption"
        if not self._nodes or attempt.num_workers >= self._scale.num_workers:
            return None
        can_grow = capacity.grown(self._scale, self._shape, num_workers=attempt.num_workers) > attempt.num_workers
        seen_before, self._could_grow = self._could_grow, can_grow
        return "resize" if can_grow and seen_before else None

    def _ask_to_stop(self, attempt: Attempt, reason: stops.Reason) -> stops.Reason | None:
        try:
            stops.request(self._objects, self._run, attempt.job.lease, reason=reason, now=_now())
        except StorageError:  # asked again at the next look
            return None
        self._observer.say(ASKED[reason])
        return reason

    def _show_progress(self) -> None:
        try:
            progress = runs.read_progress(self._objects, self._run)
        except StorageError:  # read again at the next look; the lease's renewal tells of a storage that is gone
            return
        if progress is not None and progress != self._progress:
            self._progress = progress
            self._observer.progress(progress)

    def _show_events(self) -> None:
        try:
            found = self._events.new()
        except StorageError:
            return
        for event in found:
            if event.kind == "started":
                self._has_started = True
                self._nodes = set(event.fields["nodes"])
                self._micro_batch_size = event.fields["micro_batch_size"]
            self._observer.event(event)

    def _recover(self, error: TrainingFailedError | RayError, number: int, *, is_preempted: bool) -> None:
        """Decide what to do about lost workers: returns when they may start again, or raises why not."""
        self._patience_s = WAITED_S if casualties.have_given_up_storage(error) else GIVE_UP_AFTER_S
        self._check_lease()  # a driver that was only asleep must not write down what became of its workers
        failed = self._patiently(lambda: casualties.found(self._objects, self._run, self._job.lease, error, now=_now()))
        if not failed and isinstance(error, ControllerError):
            failed = [self._not_started(error)]
        hang = casualties.hang_facts(failed, num_workers=number)
        decision = attempts.decide(
            failed,
            spent=attempts.spent(self._patiently(lambda: events.read_events(self._objects, self._run))),
            budgets=self._budgets,
            micro_batch_size=self._micro_batch_size,
            is_preempted=is_preempted or isinstance(error, PreemptionError),
        )
        if isinstance(decision, attempts.GiveUp):
            place = failures.traceback_place(self._objects, self._run, decision.failure) if decision.failure else ""
            facts = "; ".join(f"{name.replace('_', ' ')}: {value}" for name, value in hang.items())
            reason = attempts.error_of(decision, traceback_place="; ".join(filter(None, (place, facts))))
            is_refused = decision.failure is not None and decision.failure.kind == StorageError.__name__
            raise self._failed(_to_go_on(reason) if is_refused else reason)
        self._pause(0)
        if decision.micro_batch_limit is not None:
            self._job = replace(self._job, micro_batch_limit=decision.micro_batch_limit)
        self._note_restart(
            decision.reason,
            step=self._progress.step if self._progress else 0,
            saved_step=self._saved_step() or 0,
            micro_batch_limit=decision.micro_batch_limit,
            what=casualties.said(decision.failure),
            **hang,
        )
        if decision.delay_s:
            self._observer.say(f"starting again in {decision.delay_s:g} s")
            self._pause(decision.delay_s)

    def _not_started(self, error: ControllerError) -> FailureRecord:
        """The failure of workers that did not come up. Raises ClusterError where they never have."""
        reason = attempts.not_started(error.controller_failure, free=str(cluster.free()))
        if not (self._has_started or casualties.died_at_start(error)):
            raise self._failed(ClusterError(reason))
        return FailureRecord(
            attempt=self._job.lease,
            rank=0,
            kind=ClusterError.__name__,
            message=reason,
            traceback=str(error),
            at=_now(),
        )

    def _note_restart(self, reason: str, **fields: Any) -> None:
        kept = {name: value for name, value in fields.items() if value is not None}
        self._patiently(
            lambda: events.append(self._objects, self._run, kind="restarted", now=_now(), reason=reason, **kept)
        )
        record = self._patiently(lambda: runs.read(self._objects, self._run))
        self._update(restarts=record.restarts + 1)
        self._show_events()

    def _pause(self, seconds: float) -> None:
        """Sleep between two attempts. Raises Interrupted where a signal has come, or comes meanwhile."""
        if self._signals.come_within(seconds):
            step = self._saved_step()
            raise self._stopped("before anything was saved" if step is None else f"after step {step}, which is saved")

    def _saved_step(self) -> int | None:
        newest = self._patiently(lambda: checkpoints.newest(self._objects, self._run))
        return None if newest is None else newest.step

    def _check_lease(self) -> None:
        self._patiently(lambda: lease.check(self._objects, self._run, self._renewal.number))

    def _failed(self, reason: EaglerayError) -> EaglerayError:
        """Write down that the run has failed and return why."""
        self._end(phase="failed", error=str(reason))
        self._patiently(lambda: events.append(self._objects, self._run, kind="failed", now=_now(), reason=str(reason)))
        return reason

    def _stopped(self, how: str) -> Interrupted:
        """Write down that the run was stopped and return what to tell the user."""
        self._end(phase="stopped")
        self._patiently(lambda: events.append(self._objects, self._run, kind="stopped", now=_now(), how=how))
        return Interrupted(f"{self._run} was stopped {how}: {GO_ON}", exit_code=self._signals.exit_code)

    def _end(self, **changes: Any) -> RunRecord:
        """Write down how a run has ended, and how far it came."""
        progress = self._progress
        reached = {} if progress is None else {"step": progress.step, "total_steps": progress.total_steps}
        return self._update(**{"ended_at": _now(), **reached, **changes})

    def _update(self, **changes: Any) -> RunRecord:
        """Replace the run's record; a driver that lost the run leaves it alone."""

        def update() -> RunRecord:
            lease.check(self._objects, self._run, self._renewal.number)
            record = runs.read(self._objects, self._run).model_copy(update=changes)
            runs.save(self._objects, record)
            return record

        return self._patiently(update)

    def _patiently(self, operation: Callable[[], T]) -> T:
        try:
            return persist(
                operation,
                give_up_after_s=self._patience_s,
                on_trouble=lambda error: self._observer.warn(f"{error}; trying again"),
            )
        except (LeaseLost, ObjectMissing, Damaged):
            raise
        except StorageError as error:
            raise _to_go_on(error) from error


def _to_go_on(error: EaglerayError) -> StorageError:
    """A storage that refuses is mended by a person, who should know that nothing else is to be done."""
    return StorageError(f"{error}; once that is mended, {GO_ON}")


def _now() -> datetime:
    return datetime.now(UTC)
