"""A trial between two starts of its worker: a run like any other, on the storage of the trials."""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from eagleray import logs
from eagleray.errors import StorageError
from eagleray.spec.document import dump, loads
from eagleray.spec.finetune import FineTune
from eagleray.store import best, checkpoints, lease, runs, sweeps
from eagleray.store.objects import open_storage
from eagleray.store.patience import persist
from eagleray.store.renewal import renewed
from eagleray.store.runs import ForkRecord, LockRecord, RunRecord
from eagleray.train import changes
from eagleray.train.assembly import Job
from eagleray.train.resources import WorkerShape
from eagleray.train.session import Evaluation, Outcome
from eagleray.tune import nested, proposals, unfit
from eagleray.tune.alone import Alone

COMMIT_WITHIN_S = 120.0
"""How long a checkpoint that is on its way is waited for where somebody wants to go on from it."""

_PHASES: Mapping[str, Any] = {"finished": "succeeded", "stopped": "stopped"}


@dataclass(frozen=True, slots=True)
class Shared:
    """What all trials of a sweep have in common: plain values only, so that they can be shipped."""

    document: FineTune
    storage: str  # of the trials
    cache_dir: str
    lock: LockRecord
    num_workers: int
    shape: WorkerShape
    plan: proposals.Plan
    has_json_logs: bool = False  # in the processes of the trials


class Life:
    """Goes on from the trial's newest checkpoint, whatever has ended the life before."""

    def __init__(self, shared: Shared, alone: Alone, *, number: int, params: dict[str, Any]) -> None:
        self.number = number
        self.told: dict[str, Any] = {}
        """The last result."""
        self._shared, self._alone, self._params = shared, alone, params
        self._objects = open_storage(shared.storage)
        self._stack = ExitStack()
        self._fork: ForkRecord | None = None
        self._pinned: ForkRecord | None = None
        self._donor: int | None = None
        self._record: RunRecord | None = None
        self._rest: Generator[Evaluation, None, Outcome] | None = None
        self._first_step = 0
        self._started_at = 0.0

    def fork(self, donor: int, *, run: str, step: int) -> None:
        """Begin from another trial's checkpoint instead."""
        self._donor, self._fork = donor, ForkRecord(run=run, step=step, keeps_position=True)

    def step(self) -> dict[str, Any]:
        """Train until the next evaluation, or the end: then with "done" and the state that the trial ends in.

        Raises:
            Exception: what may not come again where the trial is started again.
        """
        try:
            if self._rest is None:
                self._rest = self._start()
            evaluation = next(self._rest)
            self._let_go()
            self.told = self._report(evaluation)
            plan = self._shared.plan
            if plan.saves_each_evaluation and plan.best_by.metric not in self.told["metrics"]:
                error = f"the evaluation at step {evaluation.step} gave no value of {plan.best_by.metric}"
                return self._done("unfit", error=error)
            if evaluation.is_last:
                next(self._rest)
            return self.told
        except StopIteration as end:
            outcome: Outcome = end.value
            if outcome.metrics and "metrics" not in self.told:  # a life before told them, and nobody heard it
                self.told = {"metrics": _numbers(outcome.metrics["validation"])}
            return self._done("stopped" if outcome.stop_reason else "finished", step=outcome.step)
        except Exception as error:
            state = None if self._has_lost_donor() else unfit.state_of(error)
            if state is None:
                raise
            return self._done(state, error=str(error))

    def saved(self) -> tuple[str, int]:
        """Return the run and the step of the last evaluation, once its checkpoint is on the storage.

        Raises:
            StorageError: it does not come.
        """
        assert self._record is not None
        run, step = self._record.run, int(self.told["step"])
        deadline = time.monotonic() + COMMIT_WITHIN_S
        while (newest := checkpoints.newest(self._objects, run)) is None or newest.step < step:
            if time.monotonic() > deadline:
                raise StorageError(f"{run}: the checkpoint of step {step} did not come to the storage")
            time.sleep(0.05)
        return run, newest.step

    def end(self) -> None:
        """Stop training where it is, and leave the run."""
        if self._rest is not None:
            self._close()
            self._save("stopped")
        self._stack.close()

    def _close(self) -> None:
        self._let_go()
        if self._rest is not None:
            self._rest.close()
            self._rest = None

    def _start(self) -> Generator[Evaluation, None, Outcome]:
        """Find the trial's run, or begin one, take it, and start to train."""
        self._started_at = time.monotonic()
        shared, objects = self._shared, self._objects
        document = proposals.document(shared.document, shared.plan, number=self.number, params=self._params)
        record = self._find(document)
        taken = lease.take(objects, record.run, lease.this_process(), now=_now)
        renewal = renewed(objects, record.run, taken, on_trouble=lambda message: None)  # the run finds out itself
        self._stack.enter_context(renewal)
        newest = checkpoints.newest(objects, record.run)
        fork_step = record.forked_from.step if record.forked_from else 0
        self._first_step = newest.step if newest else fork_step
        self._record = record.model_copy(update={"phase": "running", "ended_at": None})
        runs.save(objects, self._record)
        if shared.has_json_logs:
            # With workers of its own this process is no rank of theirs.
            logs.begin(run=record.run, step=self._first_step, rank=0 if shared.num_workers == 1 else None)
        job = Job(
            document=document.model_dump_json(),
            storage=shared.storage,
            run=record.run,
            cache_dir=shared.cache_dir,
            lease=taken.number,
            fork=record.forked_from,
            is_trial=True,
            footprint=shared.plan.footprint,
        )
        if shared.num_workers == 1:
            return self._alone.evaluations(job, num_threads=shared.shape.num_threads)
        return nested.evaluations(job, num_workers=shared.num_workers, shape=shared.shape)

    def _find(self, document: FineTune) -> RunRecord:
        """The newest run of the trial that has this configuration, and began where this life is to begin."""
        if self._fork is not None and not self._pin(self._fork):
            self._fork = self._donor = None  # pruned meanwhile: the trial's own is what is left
        for earlier in runs.of_name(self._objects, document.metadata.name):
            begins_alike = self._fork is None or earlier.forked_from == self._fork
            if begins_alike and self._is_of(earlier, document):
                return earlier
        return runs.create(
            self._objects,
            name=document.metadata.name,
            document=dump(document),
            lock=self._shared.lock,
            now=_now(),
            forked_from=self._fork,
        )

    def _pin(self, fork: ForkRecord) -> bool:
        """Keep the donor, who goes on meanwhile, from deleting the checkpoint: workers take a while to start."""
        is_there = checkpoints.pin(self._objects, fork.run, fork.step, by=str(self.number))
        self._pinned = fork if is_there else None
        return is_there

    def _let_go(self) -> None:
        if self._pinned is not None:
            fork, self._pinned = self._pinned, None
            with suppress(StorageError):  # the end of the sweep deletes it
                checkpoints.unpin(self._objects, fork.run, fork.step, by=str(self.number))

    def _has_lost_donor(self) -> bool:
        """Whether it did not begin because the donor's checkpoint is gone: the next try begins with the trial's own."""
        fork = self._pinned
        return fork is not None and all(
            each.step != fork.step for each in checkpoints.list_manifests(self._objects, fork.run)
        )

    def _is_of(self, record: RunRecord, wanted: FineTune) -> bool:
        """Whether a run has this configuration: a driver that was killed may have left one of which no log tells.

        Model and data may lie elsewhere by now, as a job's do each time that it is submitted.
        """
        stored = loads(runs.read_document(self._objects, record.run), source=record.run).document
        there = changes.basis_of(stored, runs.read_lock(self._objects, record.run))
        return not changes.decisive(there, changes.basis_of(wanted, self._shared.lock))

    def _report(self, evaluation: Evaluation) -> dict[str, Any]:
        return {
            "step": evaluation.step,
            "total_steps": evaluation.total_steps,
            "metrics": _numbers(evaluation.metrics),
            **self._facts(),
        }

    def _done(self, state: str, *, step: int | None = None, error: str = "") -> dict[str, Any]:
        """The trial has come to its end: what was told last, with the state that it ends in."""
        reached = self.told.get("step", self._first_step) if step is None else step
        end = {"state": state, "error": error, "step": reached, "done": True}
        self.told = {**self.told, **self._facts(), **end}
        self._close()
        self._save(_PHASES.get(state, "failed"), error=error)
        self._stack.close()
        return self.told

    def _save(self, phase: str, *, error: str = "") -> None:
        """Write down how the run has ended."""
        if self._record is None:
            return
        metrics = {"validation": self.told["metrics"]} if "metrics" in self.told else {}
        ended = {"phase": phase, "ended_at": _now(), "error": error, "metrics": metrics}
        record = self._record.model_copy(update={**ended, "step": self.told.get("step", self._first_step)})
        persist(lambda: runs.save(self._objects, record), on_trouble=lambda error: None)

    def _facts(self) -> dict[str, Any]:
        if self._record is None:
            return {}
        life = sweeps.Life(self._record.run, first_step=self._first_step)
        told = {"life": asdict(life), "donor": self._donor, "params": self._params}
        return {**told, "seconds": time.monotonic() - self._started_at}


def _numbers(metrics: Mapping[str, Any]) -> dict[str, float]:
    found = {name: best.value_of(metrics, name) for name in metrics}
    return {name: value for name, value in found.items() if value is not None}


def _now() -> datetime:
    return datetime.now(UTC)
