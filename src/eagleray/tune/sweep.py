"""The driver of a sweep from its document to its search: checks, prepares, finds out what is known and what goes on."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from eagleray import logs
from eagleray.errors import UserError
from eagleray.spec.checkpoint import BestBySpec
from eagleray.spec.finetune import FineTune
from eagleray.spec.reported import FOOTPRINT
from eagleray.spec.search import PbtSpec, SchedulerSpec
from eagleray.spec.sweep import ObjectiveSpec, SweepSpec
from eagleray.store import ranking, runs, sweeps
from eagleray.store.objects import Objects
from eagleray.store.runs import LockRecord, RunRecord
from eagleray.train import cadence, ground
from eagleray.train.inputs import Inputs
from eagleray.train.ray_environment import is_embedded
from eagleray.train.resources import WorkerShape
from eagleray.train.resumption import GoOn
from eagleray.tune import capacity, earlier, final, proposals, rungs, schedulers, tuner
from eagleray.tune.driver import Driver, Setup, SweepObserver
from eagleray.tune.earlier import Finished
from eagleray.tune.life import Shared


def run_sweep(
    document: FineTune,
    *,
    text: str,
    storage: str,
    cache_dir: Path,
    observer: SweepObserver,
    begins_anew: bool = False,
    for_final: bool = False,
) -> RunRecord:
    """Search as the document says and return the record of the sweep, whose model is that of the best trial.

    Goes on with the newest sweep of the document's name where that has not come to its end, unless `begins_anew`. With
    `for_final` one that has come to its end is returned as it is, where its last run has not.

    Raises:
        UserError: the document, the data or the scale cannot work as they are.
        Interrupted: a signal came; what was done is saved.
        ClusterError, StorageError, TrainingError: what went wrong, with what to do about it.
    """
    spec = document.spec.sweep
    if spec is None:
        raise UserError("the document has no section `sweep`: say in spec.sweep.space what is to be searched")
    earlier.check_schedule(spec)
    with ground.opened(document, storage=storage, observer=observer) as opened:
        objects = opened.objects
        shape = capacity.trial_shape(document.spec.scale, embedded=is_embedded())
        there = None if begins_anew else opened.take_newest(kind=sweeps.KIND)
        ready = opened.make_ready(shape, cache_dir=cache_dir)
        decision = earlier.decide(there, ready.basis)
        if isinstance(decision, Finished) and for_final and final.is_due(objects, document, decision.run):
            observer.say(
                f"{decision.run.run} has come to its end: going on with its last run, as spec.sweep.final says"
            )
            return decision.run
        record = decision.run if isinstance(decision, GoOn) else _create(objects, document, text, ready.lock)
        held = opened.hold(record.run)
        observer.created(record)
        setup = _setup(document, spec, ready.inputs, objects=objects, run=record.run, shape=shape)
        shared = Shared(
            document=document,
            storage=sweeps.trials_uri(storage, record.run),
            cache_dir=str(cache_dir),
            lock=ready.lock,
            num_workers=document.spec.scale.num_workers,
            shape=shape,
            plan=setup.plan,
            has_json_logs=logs.active() is not None,
        )
        driver = Driver(objects, document, setup, shared, run=record.run, held=held, observer=observer)
        return driver.drive(lambda board: tuner.Search(board, spec, shared, total_steps=setup.total_steps))


def _setup(
    document: FineTune, spec: SweepSpec, loaded: Inputs, *, objects: Objects, run: str, shape: WorkerShape
) -> Setup:
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
        evaluate_every_steps=rungs.grace_steps(spec.scheduler, total_steps),
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
    points = (*_given_points(spec), *earlier.warm_points(objects, spec, except_run=run))
    return Setup(spec, objectives, total_steps, plan, points, facts)


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


def _now() -> datetime:
    return datetime.now(UTC)
