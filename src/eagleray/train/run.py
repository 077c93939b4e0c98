"""The driver of a run: checks, prepares, starts workers under Ray Train, and says how it ended."""

from __future__ import annotations

import signal
import tempfile
import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any, Protocol

from ray.exceptions import RayError
from ray.train import ControllerError, FailureConfig, RunConfig, ScalingConfig, TrainingFailedError
from ray.train.torch import TorchConfig, TorchTrainer

from eagleray.data.checks import DataReport
from eagleray.errors import ClusterError, EaglerayError, StorageError
from eagleray.spec.finetune import FineTune
from eagleray.spec.scale import ScaleSpec
from eagleray.store import events, failures, runs
from eagleray.store.objects import Objects, open_storage
from eagleray.store.runs import ProgressRecord, RunRecord
from eagleray.train import attempts, casualties, cluster, inputs, lock, nodes, worker
from eagleray.train.assembly import Job
from eagleray.train.cluster import WorkerShape
from eagleray.train.ray_environment import is_embedded

POLL_INTERVAL_S = 0.5


class Observer(Protocol):
    """Who looks on: told what happens, in the driver's process."""

    def say(self, message: str) -> None:
        """Something worth a line."""

    def warn(self, message: str) -> None:
        """Something that the user should know before it is too late."""

    def preparing(self, stage: str, count: int) -> None:
        """The data is being prepared: a stage, and how far it has come."""

    def data(self, report: DataReport) -> None:
        """The data is prepared and looks like this."""

    def created(self, record: RunRecord) -> None:
        """The run exists on the storage under this id."""

    def progress(self, progress: ProgressRecord) -> None:
        """The workers have come this far."""


def fine_tune(document: FineTune, *, text: str, storage: str, cache_dir: Path, observer: Observer) -> RunRecord:
    """Run a document to its end and return the run's record.

    Nothing is written to the storage before the data, the cluster and the storage itself have been found good.

    Raises:
        UserError: the document, the data or the scale cannot work as they are.
        ClusterError, StorageError, TrainingError: what went wrong, with what to do about it.
    """
    objects = open_storage(storage)
    objects.check_writable()
    if objects.local_path is not None and nodes.goes_with_job(objects.local_path):
        observer.warn(nodes.GOES_WITH_JOB.format(storage=objects.local_path))
    inputs.check(document.spec)
    scale = document.spec.scale
    embedded = is_embedded()
    shape = cluster.worker_shape(scale, embedded=embedded)
    if embedded:
        cluster.check_fits(scale, shape, cluster.this_machine(), where="this machine")
    preparation = _prepare(document, cache_dir, observer)
    observer.say("starting Ray on this machine" if embedded else "connecting to the Ray cluster")
    with cluster.connected() as resources:
        cluster.check_fits(scale, shape, resources, where="this machine" if embedded else "the cluster")
        nodes.check_all_see(document.spec, objects, num_nodes=resources.num_nodes)
        loaded = preparation.result()
        observer.data(loaded.data.report)
        record = runs.create(
            objects,
            name=document.metadata.name,
            document=text,
            lock=lock.of_run(document, loaded, resources),
            now=_now(),
        )
        observer.created(record)
        observer.say(f"starting {scale.num_workers} worker{'s' if scale.num_workers > 1 else ''}")
        job = Job(document=document.model_dump_json(), storage=storage, run=record.run, cache_dir=str(cache_dir))
        return _attempt_until_done(objects, job, document, shape, observer)


def _prepare(document: FineTune, cache_dir: Path, observer: Observer) -> Future[inputs.Inputs]:
    """Prepare the data beside the start of Ray, which mostly waits.

    In a daemon thread: an error of the cluster, or an interrupt, is not held up by a million rows.
    """
    preparation: Future[inputs.Inputs] = Future()

    def prepare() -> None:
        try:
            preparation.set_result(inputs.load(document.spec, cache_dir=cache_dir, on_progress=observer.preparing))
        except BaseException as error:
            preparation.set_exception(error)

    threading.Thread(target=prepare, name="prepare", daemon=True).start()
    return preparation


def _attempt_until_done(
    objects: Objects, job: Job, document: FineTune, shape: WorkerShape, observer: Observer
) -> RunRecord:
    """Start the workers, again with a smaller micro batch after one ran out of memory, until the run has ended."""
    _update(objects, job.run, phase="running")
    for attempt in count():
        try:
            with _followed(objects, job.run, observer), _own_interrupts():
                outcome = _launch(job, attempt, document.spec.scale, shape)
        except KeyboardInterrupt:
            _end(objects, job.run, phase="stopped")
            events.append(objects, job.run, kind="stopped", now=_now(), reason="interrupted")
            raise
        except (TrainingFailedError, RayError) as error:
            failed = _failures(objects, job.run, attempt, error)
            decision = attempts.decide(failed, micro_batch_size=_micro_batch_size(objects, job.run)) if failed else None
            if not isinstance(decision, attempts.Halve):
                raise _ended(objects, job.run, decision, error) from error
            limit = decision.micro_batch_limit
            observer.say(f"a worker ran out of memory: starting again with micro batches of {limit}")
            events.append(
                objects, job.run, kind="restarted", now=_now(), reason="out of memory", micro_batch_size=limit
            )
            _update(objects, job.run, restarts=attempt + 1)
            job = replace(job, micro_batch_limit=limit)
        else:
            return _end(objects, job.run, phase="succeeded", **outcome)
    raise AssertionError("unreachable")


def _launch(job: Job, attempt: int, scale: ScaleSpec, shape: WorkerShape) -> dict[str, Any]:
    """Run the workers once under Ray Train and return the fields of the first rank's Outcome.

    Ray Train sees no checkpoint of ours and resumes nothing by itself: every attempt has a name of its own, and its
    few bookkeeping files go to a scratch folder.
    """
    resources = {"CPU": shape.num_cpus} | ({"GPU": shape.num_gpus} if shape.num_gpus else {})
    with tempfile.TemporaryDirectory(prefix="eagleray-ray-") as scratch:
        result = TorchTrainer(
            worker.work,  # type: ignore[arg-type]  # may return a value, which the annotation leaves out
            train_loop_config={"job": asdict(job), "attempt": attempt, "num_threads": shape.num_threads},
            torch_config=TorchConfig(backend="nccl" if shape.num_gpus else "gloo"),
            scaling_config=ScalingConfig(
                num_workers=scale.num_workers, use_gpu=shape.num_gpus > 0, resources_per_worker=resources
            ),
            run_config=RunConfig(
                name=f"{job.run}-{attempt}-{uuid.uuid4().hex[:8]}",
                storage_path=scratch,
                failure_config=FailureConfig(max_failures=0, controller_failure_limit=0),  # type: ignore[call-arg]  # Train V2's
            ),
        ).fit()
    return dict(result.return_value)  # type: ignore[attr-defined]  # Train V2's


@contextmanager
def _own_interrupts() -> Iterator[None]:
    """Let an interrupt be a KeyboardInterrupt again.

    Ray Train takes SIGINT, and Ray SIGTERM (which `ray job stop` sends), to end the workers and then the process.
    """
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    except SystemExit as error:
        raise KeyboardInterrupt from error
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, handler in handlers.items():
                signal.signal(number, handler)


@contextmanager
def _followed(objects: Objects, run: str, observer: Observer) -> Iterator[None]:
    """Show the workers' progress, which they write to the storage, while the body runs."""
    ended = threading.Event()

    def follow() -> None:
        shown = None
        is_last = False
        while not is_last:
            is_last = ended.wait(POLL_INTERVAL_S)
            shown = _show(objects, run, observer, shown)

    thread = threading.Thread(target=follow, name="follow", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _show(objects: Objects, run: str, observer: Observer, shown: ProgressRecord | None) -> ProgressRecord | None:
    """Show the progress where it is not what was shown last, and return it."""
    try:
        progress = runs.read_progress(objects, run)
    except StorageError:  # tried again at the next look; a storage that is gone for good ends the workers
        return shown
    if progress is not None and progress != shown:
        observer.progress(progress)
    return progress


def _failures(
    objects: Objects, run: str, attempt: int, error: TrainingFailedError | RayError
) -> list[failures.FailureRecord]:
    """What ended an attempt, the cause first: a worker that was killed, before those that then lost their peer."""
    told = failures.of_attempt(objects, run, attempt)
    silent = casualties.silent(
        getattr(error, "worker_failures", {}), told={failure.rank for failure in told}, attempt=attempt, now=_now()
    )
    for failure in silent:
        failures.write(objects, run, failure)
    return [*silent, *told]


def _ended(
    objects: Objects, run: str, decision: attempts.GiveUp | None, error: TrainingFailedError | RayError
) -> EaglerayError:
    """Write down that the run has failed and return the one error that matters."""
    reason: EaglerayError
    if decision is not None:
        place = failures.traceback_place(objects, run, decision.failure)
        reason = attempts.error_of(decision.failure, traceback_place=place)
    elif isinstance(error, ControllerError):
        reason = ClusterError(attempts.not_started(error.controller_failure, free=cluster.free()))
    else:
        reason = ClusterError(f"the cluster was lost: {error}")
    _end(objects, run, phase="failed", error=str(reason))
    events.append(objects, run, kind="failed", now=_now(), reason=str(reason))
    return reason


def _micro_batch_size(objects: Objects, run: str) -> int | None:
    """What the last attempt used, or None where it did not come that far."""
    started = [event for event in events.read_events(objects, run) if event.kind == "started"]
    return started[-1].fields["micro_batch_size"] if started else None


def _end(objects: Objects, run: str, **changes: Any) -> RunRecord:
    """Write down how a run has ended, and how far it came."""
    progress = runs.read_progress(objects, run)
    reached = {} if progress is None else {"step": progress.step, "total_steps": progress.total_steps}
    return _update(objects, run, **{"ended_at": _now(), **reached, **changes})


def _update(objects: Objects, run: str, **changes: Any) -> RunRecord:
    record = runs.read(objects, run).model_copy(update=changes)
    runs.save(objects, record)
    return record


def _now() -> datetime:
    return datetime.now(UTC)
