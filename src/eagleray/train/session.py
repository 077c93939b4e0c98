"""One worker's part of a run, from the document to the saved model, under any process group."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

from eagleray import logs
from eagleray.data.mixed import MixedSplit
from eagleray.data.tokenized import Split
from eagleray.errors import NotFinite
from eagleray.spec.schedule import ReduceOnPlateauSpec
from eagleray.store.scratch import scratch_directory
from eagleray.tasks import trained
from eagleray.train import baselines, cadence, compared, hangs, plateau, stepping
from eagleray.train.assembly import Job, Session, assemble
from eagleray.train.early_stopping import observe, should_stop
from eagleray.train.evaluate import evaluate
from eagleray.train.group import Group
from eagleray.train.loading import Loader
from eagleray.train.loop import StepReport
from eagleray.train.saving import Saved
from eagleray.train.state import TrainState
from eagleray.train.worst import Doubts, Worst


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an attempt has reached."""

    step: int  # the last one
    stop_reason: str | None  # why the attempt stopped before its end, with all it did saved; None: it is finished
    best_step: int | None = None
    metrics: dict[str, dict[str, Any]] | None = None
    """Of the "validation" and "test" split; "untuned" and "majority" to compare. None where it is not finished."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What the validation split said after a step."""

    step: int
    total_steps: int
    metrics: dict[str, Any]
    is_last: bool  # no step comes after it


def run(job: Job, group: Group) -> Outcome:
    """Train, evaluate and save; returns what came of it, the same at every rank.

    Goes on from the newest checkpoint of the run. Stops early, with everything saved, where the driver asks for it.

    Raises:
        EaglerayError: with a message for the user; any other exception is a fault in the software or its libraries.
    """
    rest = evaluations(job, group, loader=Loader())
    while True:
        try:
            next(rest)
        except StopIteration as end:
            outcome: Outcome = end.value
            return outcome


def evaluations(job: Job, group: Group, *, loader: Loader) -> Generator[Evaluation, None, Outcome]:
    """Do what `run` does, and yield after each evaluation: who closes the generator there stops the training.

    A checkpoint that was due is then on its way; closing waits for it.
    """
    with ExitStack() as stack:
        watchdog = hangs.watchdog(job, group)
        stack.callback(watchdog.close)
        scratch = stack.enter_context(scratch_directory("worker"))
        session = assemble(job, group, loader=loader, scratch=scratch, mark=watchdog.mark, stack=stack)
        watchdog.start()
        state = session.state
        if session.spec.train.baselines and session.is_untrained:
            state = replace(state, baseline=_baseline(session))
        state, stop_reason = yield from _train(session, state)
        session.recorder.spent("checkpoint", session.saver.wait())
        if stop_reason is not None:
            return Outcome(step=state.step, stop_reason=stop_reason)
        if job.is_trial:
            best = session.saver.best()
            return Outcome(state.step, stop_reason=None, best_step=best.step, metrics={"validation": best.metrics})
        return _finish(session, state)


def _train(session: Session, state: TrainState) -> Generator[Evaluation, None, tuple[TrainState, str | None]]:
    """Take the steps; evaluate and save where the document says. Returns where it ended, and who asked to stop."""
    if not state.is_settled:
        state = yield from _settle(session, state)
    if _is_over(session, state):
        return state, None
    doubts = Doubts(
        session.inputs.task,
        steps=cadence.doubted(steps_per_epoch=session.steps_per_epoch, total_steps=session.total_steps),
    )

    def share_left() -> float:
        return state.plateau.share

    for report in stepping.steps(session, state.step, on_logits=doubts.look, share_left=share_left):
        logs.at(step=report.step)
        session.recorder.step(report)
        session.saver.note(report)
        if report.step == doubts.steps[-1] and doubts.worst is not None:
            _note_worst(session, doubts.worst, session.inputs.data.train, name="train", step=report.step)
        state = replace(
            state, step=report.step, is_settled=False, num_not_finite=_num_not_finite(session, state, report)
        )
        if report.is_last:
            _raise_problem(session)
            _save(session, state, metrics={}, is_due=True)
            return state, session.group.exchange(session.recorder.stop_reason)[0]
        state = yield from _settle(session, state)
        if _is_over(session, state):
            session.recorder.event("stopped-early", step=state.step, best=state.stopping.best)
            break
    return state, None


def _raise_problem(session: Session) -> None:
    """Raise at every rank what keeps the first from writing: one alone would leave the others waiting for it."""
    problem = session.group.exchange(session.recorder.problem)[0]
    if problem is not None:
        raise problem


def _settle(session: Session, state: TrainState) -> Generator[Evaluation, None, TrainState]:
    """Do what is due after a step."""
    due = cadence.due(
        step=state.step,
        steps_per_epoch=session.steps_per_epoch,
        total_steps=session.total_steps,
        checkpoint_every=session.spec.checkpoint.every_steps,
        evaluate_every=session.spec.train.evaluate_every_steps,
    )
    state = replace(state, is_settled=True)
    if not due.evaluation or state.num_not_finite:
        return state
    worst = Worst(session.inputs.task)
    with session.engine.averaged():
        metrics = _evaluate(session, session.inputs.data.validation, worst=worst) | session.footprint
    session.recorder.evaluation(state.step, metrics)
    early_stopping = session.spec.train.early_stopping
    if early_stopping is not None:
        state = replace(state, stopping=observe(state.stopping, metrics[early_stopping.metric], early_stopping))
    schedule = session.spec.train.schedule
    if isinstance(schedule, ReduceOnPlateauSpec):
        state = replace(state, plateau=plateau.observe(state.plateau, metrics[schedule.metric], schedule))
    is_over = _is_over(session, state)
    _save(session, state, metrics=metrics, is_due=due.checkpoint or is_over)
    if session.saver.best().step == state.step:
        _note_worst(session, worst, session.inputs.data.validation, name="validation", step=state.step)
    is_last = is_over or state.step == session.total_steps
    yield Evaluation(state.step, total_steps=session.total_steps, metrics=metrics, is_last=is_last)
    session.mark("going on")
    return state


def _save(session: Session, state: TrainState, *, metrics: dict[str, Any], is_due: bool) -> None:
    session.recorder.phase("saving")
    session.mark("saving")
    session.saver.save(state, metrics=metrics, is_due=is_due)


def _is_over(session: Session, state: TrainState) -> bool:
    early_stopping = session.spec.train.early_stopping
    return early_stopping is not None and should_stop(state.stopping, early_stopping)


def _num_not_finite(session: Session, state: TrainState, report: StepReport) -> int:
    """Steps in a row whose loss or gradient was not finite: the weights are those before them, and not evaluated."""
    if math.isfinite(report.loss) and math.isfinite(report.gradient_norm):
        return 0
    number = state.num_not_finite + 1
    if number >= session.spec.failures.max_non_finite_steps or report.step == session.total_steps:
        raise NotFinite(
            f"for {number} step{'s' if number > 1 else ''} up to step {report.step} loss or gradient were not finite, "
            f"here {report.loss} with a gradient of norm {report.gradient_norm}: lower train.learning_rate, set "
            "train.gradient_clip, or look at the samples of these steps"
        )
    return number


def _finish(session: Session, state: TrainState) -> Outcome:
    """Go back to the best checkpoint that is whole, test it and write the final model."""
    best = session.saver.fetch_best()
    metrics: dict[str, Any] = {"validation": best.metrics}
    test = session.inputs.data.test
    if test is not None:
        worst = Worst(session.inputs.task)
        session.engine.load_weights(lambda: session.saver.read_weights(best))
        metrics["test"] = _evaluate(session, test, worst=worst)
        _note_worst(session, worst, test, name="test", step=best.step)
    for name in session.spec.task.written_splits:
        split = test if name == "test" else session.inputs.data.validation
        if split is not None:
            metrics[name] = metrics[name] | _written(session, best, split)
    metrics |= state.baseline
    session.recorder.phase("saving")
    session.saver.publish(best, metrics)
    session.recorder.phase("done")
    session.group.barrier()
    return Outcome(step=state.step, stop_reason=None, best_step=best.step, metrics=metrics)


def _written(session: Session, best: Saved, split: Split) -> dict[str, float]:
    """What the texts score that the best checkpoint's model writes for a split."""
    from eagleray.train import generated  # brings sacrebleu and nltk, which no other task needs

    session.recorder.phase("evaluating")
    started = time.monotonic()
    metrics = generated.evaluate(
        trained.load(session.saver.files(best), device=session.group.device),
        split=split,
        batch_size=session.micro_batch_size,
        group=session.group,
        compared=compared.of_document(session.metrics, session.inputs.task, mark=session.mark),
        on_batch=lambda done, total: session.mark(f"writing texts, batch {done} of {total}"),
    )
    session.recorder.spent("evaluation", time.monotonic() - started)
    return metrics


def _baseline(session: Session) -> dict[str, Any]:
    """What the untuned model, and the class frequencies alone, score on the test split (else the validation split)."""
    data = session.inputs.data
    split = data.test or data.validation
    scores = {"untuned": _evaluate(session, split)}
    prior = None if isinstance(data.train, MixedSplit) else baselines.prior(data.train, num_labels=len(data.labels))
    if prior is not None:
        scores["majority"] = _evaluate(session, split, forward=prior)
    return scores


def _note_worst(session: Session, worst: Worst, split: Split, *, name: str, step: int) -> None:
    record = worst.record(split, name=name, step=step, group=session.group)
    if record is not None:
        session.recorder.mistakes(record)


def _evaluate(
    session: Session,
    split: Split,
    *,
    forward: Callable[..., Any] | None = None,
    worst: Worst | None = None,
) -> dict[str, Any]:
    session.recorder.phase("evaluating")
    session.engine.module.eval()
    rows = session.metrics if session.spec.task.compares == "rows" else ()
    started = time.monotonic()
    metrics = evaluate(
        forward or session.engine.forward,
        task=session.inputs.task,
        split=split,
        collate=session.collate,
        micro_batch_size=session.micro_batch_size,
        group=session.group,
        languages=session.inputs.data.languages,
        worst=worst,
        compared=compared.of_document(rows, session.inputs.task, mark=session.mark),
        on_batch=lambda done, total: session.mark(f"evaluating, batch {done} of {total}"),
    )
    session.recorder.spent("evaluation", time.monotonic() - started)
    return metrics
