"""What is written down of a worker that makes no progress?"""

from __future__ import annotations

from datetime import UTC, datetime

from eagleray.spec.finetune import FineTune
from eagleray.store import failures
from eagleray.store.objects import open_storage
from eagleray.train import attempts
from eagleray.train.assembly import Job
from eagleray.train.group import Group
from eagleray.train.watchdog import Hang, Watchdog


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

    timeout_s = FineTune.model_validate_json(job.document).spec.watchdog.timeout_s
    return Watchdog(timeout_s=timeout_s, on_hang=on_hang)
