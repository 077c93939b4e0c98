"""How does ours train in a process without Ray? As a worker does, with its recorder."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.contenders import Turns
from bench.peers import group_of_one


def train(document: Any, directory: Path, turns: Turns, *, count_targets: Any = None) -> None:
    """Take steps as long as there is a turn; `count_targets` tells of a report how many targets it had."""
    from eagleray.train import stepping
    from eagleray.train.assembly import assemble
    from eagleray.train.loading import Loader

    with group_of_one() as group, ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        built = assemble(
            job(document, directory), group, loader=Loader(), scratch=scratch, mark=lambda doing: None, stack=stack
        )
        turns.begin()
        for report in stepping.steps(built, 0):
            built.recorder.step(report)
            targets = count_targets(report) if count_targets else 0
            turns.count(samples=report.num_samples, cells=report.num_cells, targets=targets)
            if not turns.step():
                break


def job(document: Any, directory: Path) -> Any:
    """A new run on a storage in `directory`, whose lease is taken."""
    from eagleray.store import lease, runs
    from eagleray.store.objects import open_storage
    from eagleray.train.assembly import Job

    def now() -> datetime:
        return datetime.now(UTC)

    storage = str(directory / "storage")
    lock = runs.LockRecord(versions={}, git_commit="", data_fingerprint="", seed=0, hardware={}, python="")
    record = runs.create(open_storage(storage), name="bench", document="", lock=lock, now=now())
    taken = lease.take(open_storage(storage), record.run, lease.this_process(), now=now)
    return Job(
        document=document.model_dump_json(),
        storage=storage,
        run=record.run,
        cache_dir=str(directory / "cache"),
        lease=taken.number,
    )
