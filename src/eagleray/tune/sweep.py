"""The driver of a sweep: checks, prepares, lets Ray Tune run trials until it is enough, makes the best one a run."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from eagleray.errors import EaglerayError, Interrupted, StorageError, TrainingError, UserError
from eagleray.model import export
from eagleray.report import sweep as report
from eagleray.spec import space
from eagleray.spec.checkpoint import BestBySpec
from eagleray.spec.document import dump
from eagleray.spec.finetune import FineTune
from eagleray.spec.reported import FOOTPRINT
from eagleray.spec.sweep import ObjectiveSpec, PbtSpec, SchedulerSpec, SweepSpec
from eagleray.store import checkpoints, events, lease, paths, ranking, runs, stops, sweeps
from eagleray.store.lease import Renewal
from eagleray.store.objects import Objects, open_storage
from eagleray.store.patience import persist
from eagleray.store.runs import LockRecord, RunRecord
from eagleray.store.sweeps import Log, Sweep, Trial
from eagleray.train import cadence, cluster, lock, nodes, preflight, publication, resumption
from eagleray.train.cluster import WorkerShape
from eagleray.train.driver import GO_ON, Observer
from eagleray.train.inputs import Inputs
from eagleray.train.ray_environment import is_embedded
from eagleray.train.recorder import CLOSING_S, BackgroundWriter
from eagleray.train.resumption import Basis, GoOn
from eagleray.train.run import interrupts, prepare, take
from eagleray.train.signals import Signals
from eagleray.tune import capacity, disk, earlier, proposals, schedulers, search, tuner
from eagleray.tune.board import Board
from eagleray.tune.life import Shared

WRITE_INTERVAL_S = 0.2
LOOK_INTERVAL_S = 0.5
ASK_INTERVAL_S = 2.0
"""How often trials that go on are asked to stop, once somebody wants it: one may just have begun."""


class SweepObserver(Observer, Protocol):
    """Who looks on: told what happens, in the driver's process."""

    def sweep(self, sweep: Sweep, going: frozenset[int]) -> None:
        """The sweep has come this far; `going` are the trials that have workers now."""


def run_sweep(
    document: FineTune,
    *,
    text: str,
    storage: str,
    cache_dir: Path,
    observer: SweepObserver,
    begins_anew: bool = False,
) -> RunRecord:
    """Search as the document says and return the record of the sweep, whose model is that of the best trial.

    Goes on with the newest sweep of the document's name where that has not come to its end, unless `begins_anew`.

    Raises:
        UserError: the document, the data or the scale cannot work as they are.
        Interrupted: a signal came; what was done is saved.
        ClusterError, StorageError, TrainingError: what went wrong, with what to do about it.
    """
    spec = document.spec.sweep
    if spec is None:
        raise UserError("the document has no section `sweep`: say in spec.sweep.space what is to be searched")
    objects = open_storage(storage)
    preflight.check(document.spec, objects)
    earlier.check_schedule(spec)
    embedded = is_embedded()
    shape = capacity.trial_shape(document.spec.scale, embedded=embedded)
    with ExitStack() as stack, interrupts():
        there = None if begins_anew else resumption.find(objects, document.metadata.name, kind=sweeps.KIND)
        held = None
        if there is not None and there.run.phase != "succeeded":
            held = take(objects, there.run.run, stack, observer)
        preparation = prepare(document, cache_dir, observer)
        observer.say("starting Ray on this machine" if embedded else "connecting to the Ray cluster")
        resources = stack.enter_context(cluster.connected())
        cluster.check_fits(document.spec.scale, shape, resources, where="this machine" if embedded else "the cluster")
        nodes.check_all_see(document.spec, objects, num_nodes=resources.num_nodes)
        loaded = preparation.result()
        observer.data(loaded.data.report)
        locked = lock.of_run(document, loaded, resources)
        basis = Basis(document, locked.data_fingerprint, locked.model_sha256, loaded.task.labels)
        decision = earlier.decide(there, basis)
        record = decision.run if isinstance(decision, GoOn) else _create(objects, document, text, locked)
        if held is None or not isinstance(decision, GoOn):
            held = take(objects, record.run, stack, observer)
        observer.created(record)
        setup = _setup(document, spec, loaded, storage=storage, run=record.run, shape=shape)
        shared = Shared(
            document=document,
            storage=sweeps.trials_uri(storage, record.run),
            cache_dir=str(cache_dir),
            lock=locked,
            num_workers=document.spec.scale.num_workers,
            shape=shape,
            plan=setup.plan,
        )
        driver = _Driver(objects, document, setup, shared, run=record.run, held=held, observer=observer)
        return driver.drive()


@dataclass(frozen=True, slots=True)
class _Setup:
    """What follows from the document and the data."""

    spec: SweepSpec
    objectives: tuple[ObjectiveSpec, ...]
    total_steps: int  # of a trial that comes to its end
    plan: proposals.Plan
    points: tuple[tuple[str, dict[str, Any]], ...]  # known configurations, and who knows them
    facts: dict[str, Any]  # for the log


def _setup(
    document: FineTune, spec: SweepSpec, loaded: Inputs, *, storage: str, run: str, shape: WorkerShape
) -> _Setup:
    train, scale = document.spec.train, document.spec.scale
    metric, mode = loaded.task.main_metric
    objectives = spec.objectives or (ObjectiveSpec(metric=metric, mode=mode),)
    by = ranking.primary(objectives)
    per_epoch = cadence.steps_per_epoch(len(loaded.data.train), global_batch_size=train.global_batch_size)
    total_steps = cadence.total_steps(per_epoch, epochs=train.epochs, max_steps=train.max_steps)
    named = [*(each.metric for each in objectives), *(each.metric for each in spec.constraints)]
    pauses = isinstance(spec.scheduler, schedulers.PAUSES)
    plan = proposals.Plan(
        best_by=BestBySpec(metric=by.metric, mode=by.mode),
        evaluate_every_steps=schedulers.grace_steps(spec.scheduler, total_steps),
        saves_each_evaluation=pauses,
        keep=_num_kept(spec.scheduler, train.evaluate_every_steps),
        footprint=tuple(metric for metric in FOOTPRINT if metric in named),
    )
    devices = shape.num_gpus or shape.num_cpus
    facts = {
        "total_steps": total_steps,
        "num_devices": devices * scale.num_workers,
        "device": "GPU" if shape.num_gpus else "CPU",
        "objectives": [each.model_dump(mode="json") for each in objectives],
        "constraints": [each.model_dump(mode="json") for each in spec.constraints],
    }
    points = (*_given_points(spec), *earlier.warm_points(open_storage(storage), spec, except_run=run))
    return _Setup(spec, objectives, total_steps, plan, points, facts)


def _num_kept(scheduler: SchedulerSpec, evaluate_every_steps: int | None) -> int:
    """Checkpoints that a trial keeps: another may be told to go on from the one of its last comparison."""
    if not isinstance(scheduler, PbtSpec):
        return 1
    return 4 + -(-scheduler.every_steps // (evaluate_every_steps or scheduler.every_steps))


def _given_points(spec: SweepSpec) -> Iterator[tuple[str, dict[str, Any]]]:
    for number, point in enumerate(spec.start_from, start=1):
        yield f"start_from {number}", dict(point)


def _create(objects: Objects, document: FineTune, text: str, locked: LockRecord) -> RunRecord:
    return runs.create(objects, name=document.metadata.name, document=text, lock=locked, now=_now(), kind=sweeps.KIND)


class _Driver:
    """Drives one sweep, whose lease it holds, to its end."""

    def __init__(
        self,
        objects: Objects,
        document: FineTune,
        setup: _Setup,
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

    def drive(self) -> RunRecord:
        """Search until it is enough; returns the record, or raises why it failed or was stopped."""
        with self._signals.kept():
            try:
                return self._drive()
            except KeyboardInterrupt as error:
                raise self._stopped("at once") from error

    def _drive(self) -> RunRecord:
        self._update(phase="running", ended_at=None, error="")
        torn = events.drop_torn_end(self._objects, self._run)
        if torn:
            self._observer.warn(f"the last entry of the sweep's log is left out: {torn}")
        log = Log()
        log.read(events.read_events(self._objects, self._run))
        with self._writer() as writer:
            board = self._board(log, writer)
            board.started(**self._setup.facts)
            self._search(board, writer)
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

    def _search(self, board: Board, writer: BackgroundWriter) -> None:
        """Let Tune run and look on; what goes wrong meanwhile ends the trials."""
        searching = tuner.Search(board, self._setup.spec, self._shared, total_steps=self._setup.total_steps)
        try:
            self._look_on(searching, board, writer)
        except BaseException:
            board.abandon()
            raise
        self._observer.sweep(board.sweep, frozenset())

    def _look_on(self, searching: tuner.Search, board: Board, writer: BackgroundWriter) -> None:
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
            raise self._failed(TrainingError(_why_none(sweep, self._run)))
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

    def _failed(self, reason: EaglerayError) -> EaglerayError:
        self._update(phase="failed", ended_at=_now(), error=str(reason))
        return reason

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


def _why_none(sweep: Sweep, run: str) -> str:
    """Why no trial can be the best."""
    errors = list(dict.fromkeys(trial.error.splitlines()[0] for trial in sweep.trials if trial.error))[:3]
    reported = [trial for trial in sweep.trials if trial.reports]
    if reported and sweep.constraints:
        return (
            f"{run}: of {len(reported)} trials that were evaluated none keeps the constraints: relax sweep.constraints"
        )
    told = "\n".join(f"  {error}" for error in errors)
    return f"{run}: none of {len(sweep.trials)} trials has a checkpoint with a value of the objective\n{told}".rstrip()


def _now() -> datetime:
    return datetime.now(UTC)
