"""A trial of several workers: a Ray Train run of its own, looked at from the actor that Tune knows."""

from __future__ import annotations

from collections.abc import Generator
from typing import Protocol

from eagleray.errors import StorageError, TrainingError
from eagleray.store import events, failures
from eagleray.store.events import Event
from eagleray.store.objects import Objects, open_storage
from eagleray.store.patience import persist
from eagleray.train import attempts
from eagleray.train.assembly import Job
from eagleray.train.attempt import Attempt, Lost
from eagleray.train.resources import WorkerShape
from eagleray.train.session import Evaluation, Outcome

LOOK_INTERVAL_S = 0.5
"""Each look lists the run's events, which is a request to the storage, and reads those that are new."""


class Working(Protocol):
    """Workers that train; see `Attempt`."""

    def wait(self, timeout_s: float) -> Outcome | Lost | None:
        """Return how they ended; None where they still go on after `timeout_s`."""

    def abandon(self) -> None:
        """End them where they are, if they still work."""


def evaluations(job: Job, *, num_workers: int, shape: WorkerShape) -> Generator[Evaluation, None, Outcome]:
    """Start the workers and yield what they evaluate; they train on meanwhile.

    Closing ends them at once: what they reserved of the cluster is free then.

    Raises:
        EaglerayError: why the workers ended.
    """
    objects = open_storage(job.storage)
    reader = events.Reader(objects, job.run)
    _new(reader, is_last=True)  # what earlier lives told
    ended = yield from followed(Attempt(job, num_workers=num_workers, shape=shape), reader)
    if isinstance(ended, Lost):
        raise persist(lambda: _reason(objects, job, ended), on_trouble=_keep_quiet)
    return ended


def followed(working: Working, reader: events.Reader) -> Generator[Evaluation, None, Outcome | Lost]:
    """Yield what the run's events tell of evaluations until the workers have ended; return how."""
    total_steps = 0
    try:
        while True:
            ended = working.wait(LOOK_INTERVAL_S)
            for event in _new(reader, is_last=ended is not None):
                if event.kind == "started":
                    total_steps = event.fields["total_steps"]
                if event.kind == "evaluated":
                    yield _evaluation(event, total_steps)
            if ended is not None:
                return ended
    finally:
        working.abandon()


def _new(reader: events.Reader, *, is_last: bool) -> list[Event]:
    """What was told since the last look; what cannot be read now is read at the next, if there is one."""
    if is_last:
        return persist(reader.new, on_trouble=_keep_quiet)
    try:
        return reader.new()
    except StorageError:  # the workers, who write there, are patient too, and give up in the end
        return []


def _evaluation(event: Event, total_steps: int) -> Evaluation:
    step = event.fields["step"]
    return Evaluation(step, total_steps=total_steps, metrics=event.fields["metrics"], is_last=step == total_steps)


def _reason(objects: Objects, job: Job, lost: Lost) -> Exception:
    """Why the workers ended, as the error that one of them raised; any other may pass where they start again."""
    told = failures.of_attempt(objects, job.run, job.lease)
    if not told:
        return TrainingError(f"{job.run}: the workers are gone: {lost.error}")
    given_up = attempts.GiveUp(attempts.cause(told), attempts.classify(told, is_preempted=False))
    place = failures.traceback_place(objects, job.run, given_up.failure) if given_up.failure else ""
    return attempts.error_of(given_up, traceback_place=place)


def _keep_quiet(error: StorageError) -> None:
    """Nobody looks on here; a storage that stays away ends the trial with its last error."""
