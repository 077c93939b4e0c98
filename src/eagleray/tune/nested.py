"""A trial of several workers: a Ray Train run of its own, looked at from the actor that Tune knows."""

from __future__ import annotations

from collections.abc import Generator

from eagleray.errors import TrainingError
from eagleray.store import events, failures
from eagleray.store.events import Event
from eagleray.store.objects import Objects, open_storage
from eagleray.train import attempts
from eagleray.train.assembly import Job
from eagleray.train.attempt import Attempt, Lost
from eagleray.train.cluster import WorkerShape
from eagleray.train.session import Evaluation, Outcome

POLL_INTERVAL_S = 0.2


def evaluations(job: Job, *, num_workers: int, shape: WorkerShape) -> Generator[Evaluation, None, Outcome]:
    """Start the workers and yield what they evaluate; they train on meanwhile.

    Closing ends them at once: what they reserved of the cluster is free then.

    Raises:
        EaglerayError: why the workers ended.
    """
    objects = open_storage(job.storage)
    reader = events.Reader(objects, job.run)
    reader.new()  # what earlier lives told
    attempt = Attempt(job, num_workers=num_workers, shape=shape)
    total_steps = 0
    try:
        while True:
            ended = attempt.wait(POLL_INTERVAL_S)
            for event in reader.new():
                if event.kind == "started":
                    total_steps = event.fields["total_steps"]
                if event.kind == "evaluated":
                    yield _evaluation(event, total_steps)
            if isinstance(ended, Lost):
                raise _reason(objects, job, ended)
            if ended is not None:
                return ended
    finally:
        attempt.abandon()


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
