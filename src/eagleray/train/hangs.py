"""When is a worker taken for hung, and what is written down of it?"""

from __future__ import annotations

from datetime import UTC, datetime

from eagleray.spec.finetune import FineTune
from eagleray.store import failures
from eagleray.store.objects import open_storage
from eagleray.train import attempts
from eagleray.train.assembly import Job
from eagleray.train.group import Group
from eagleray.train.watchdog import GRACE_S, Hang, Watchdog


def answer_within_s(job: Job) -> float:
    """Return how long a worker's process may leave the driver without an answer.

    One that was stopped, or that C code keeps from running any Python, cannot watch over itself. Where others wait for
    it, their watchdogs come first, whose stacks say more.
    """
    return _timeout_s(job) + 2 * GRACE_S


def watchdog(job: Job, group: Group) -> Watchdog:
    """Return what watches over a worker.

    It writes this worker's stacks down as its failure: the process is about to end, and no exception will.
    """

    def on_hang(hang: Hang) -> None:
        record = failures.FailureRecord(
            attempt=job.lease,
            rank=group.rank,
            kind=attempts.HANG,
            message=f"no progress for {hang.silent_s:g} s at: {hang.doing}",
            traceback=hang.stacks,
            num_marks=hang.num_marks,
            at=datetime.now(UTC),
        )
        failures.write(open_storage(job.storage, must_exist=True), job.run, record)

    return Watchdog(timeout_s=_timeout_s(job), on_hang=on_hang)


def _timeout_s(job: Job) -> float:
    return FineTune.model_validate_json(job.document).spec.watchdog.timeout_s
