"""One worker's part of a run, from the document to the saved model, under any process group."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eagleray.data import batches
from eagleray.data.tokenized import TokenizedSplit
from eagleray.spec.data import PackedSpec
from eagleray.train import baselines, cadence, schedules
from eagleray.train.assembly import Job, Session, assemble, epoch_order
from eagleray.train.early_stopping import EarlyStoppingState, observe, should_stop
from eagleray.train.evaluate import evaluate
from eagleray.train.group import Group
from eagleray.train.loop import StepReport, train_steps


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a finished run has reached."""

    step: int  # the last one
    best_step: int
    metrics: dict[str, dict[str, Any]]  # of the "validation" and "test" split; "untuned" and "majority" to compare


def run(job: Job, group: Group) -> Outcome:
    """Train, evaluate and save; returns what came of it, the same at every rank.

    Raises:
        EaglerayError: with a message for the user; any other exception is a fault in the software or its libraries.
    """
    with ExitStack() as stack:
        scratch = stack.enter_context(tempfile.TemporaryDirectory(prefix="eagleray-"))
        session = assemble(job, group, scratch=Path(scratch))
        stack.callback(session.engine.close)
        stack.callback(session.recorder.close)
        baseline = _baseline(session) if session.spec.train.baselines else {}
        step = _train(session)
        return _finish(session, step, baseline)


def _train(session: Session) -> int:
    """Take the steps; evaluate and save where the document says; stop early where it says. Returns the last step."""
    early_stopping = session.spec.train.early_stopping
    stopping = EarlyStoppingState()
    for report in _steps(session):
        session.recorder.step(report)
        due = cadence.due(
            step=report.step,
            ends_epoch=report.ends_epoch,
            total_steps=session.total_steps,
            checkpoint_every=session.spec.checkpoint.every_steps,
            evaluate_every=session.spec.train.evaluate_every_steps,
        )
        if not due.evaluation:
            continue
        metrics = _evaluate(session, session.inputs.data.validation)
        session.recorder.evaluation(report.step, metrics)
        session.recorder.phase("saving")
        session.saver.save(step=report.step, epoch=report.epoch, metrics=metrics, is_due=due.checkpoint)
        if early_stopping is None:
            continue
        stopping = observe(stopping, metrics[early_stopping.metric], early_stopping)
        if should_stop(stopping, early_stopping):
            session.recorder.event("stopped-early", step=report.step, best=stopping.best)
            return report.step
    return session.total_steps


def _steps(session: Session) -> Iterator[StepReport]:
    spec, train = session.spec, session.spec.train
    split = session.inputs.data.train
    return train_steps(
        session.engine,
        task=session.inputs.task,
        split=split,
        collate=session.collate,
        epoch_order=epoch_order(session),
        accumulation=batches.accumulation(
            train.global_batch_size, world_size=session.group.world_size, micro_batch_size=session.micro_batch_size
        ),
        packed=isinstance(spec.data.batching, PackedSpec),
        label_smoothing=train.label_smoothing,
        learning_rate=lambda step: (
            train.learning_rate * schedules.multiplier(train.schedule, step=step, total_steps=session.total_steps)
        ),
        total_steps=session.total_steps,
        group=session.group,
    )


def _finish(session: Session, step: int, baseline: dict[str, Any]) -> Outcome:
    """Go back to the best checkpoint, test it and write the final model."""
    best = session.saver.best()
    metrics: dict[str, Any] = {"validation": best.metrics}
    if session.inputs.data.test is not None:
        session.engine.load_weights(lambda: session.saver.read_weights(best.step))
        metrics["test"] = _evaluate(session, session.inputs.data.test)
    metrics |= baseline
    session.recorder.phase("saving")
    session.saver.publish(best, metrics)
    session.recorder.phase("done")
    session.group.barrier()
    return Outcome(step=step, best_step=best.step, metrics=metrics)


def _baseline(session: Session) -> dict[str, Any]:
    """What the untuned model, and the class frequencies alone, score on the test split (else the validation split)."""
    data = session.inputs.data
    split = data.test or data.validation
    scores = {"untuned": _evaluate(session, split)}
    prior = baselines.prior(data.train, num_labels=len(data.labels))
    if prior is not None:
        scores["majority"] = _evaluate(session, split, forward=prior)
    return scores


def _evaluate(session: Session, split: TokenizedSplit, *, forward: Callable[..., Any] | None = None) -> dict[str, Any]:
    session.recorder.phase("evaluating")
    session.engine.module.eval()
    return evaluate(
        forward or session.engine.forward,
        task=session.inputs.task,
        split=split,
        collate=session.collate,
        micro_batch_size=session.micro_batch_size,
        group=session.group,
    )
