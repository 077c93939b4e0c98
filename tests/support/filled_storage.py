"""A storage with one of everything on it, as the page over a storage shows it."""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from eagleray.store import events, registry, rollouts, runs, steps
from eagleray.store.objects import Objects
from eagleray.store.rollouts import HeardRecord, RolloutRecord
from eagleray.store.runs import ProgressRecord
from tests.support import sweep_events
from tests.support.records import NOW, new_checkpoint, new_run
from tests.support.versions import new_version

TOTAL_STEPS = 200


def fill(objects: Objects, scratch: Path) -> None:
    """A run that has succeeded, one that has failed, a sweep, and a model with two versions, an alias, a rollout."""
    _succeeded(objects, scratch)
    new_run(objects, "broken", minutes=30, phase="failed", step=12, error="a worker failed: <b>out of memory</b>")
    _sweep(objects)
    _model(objects)


def new_going_run(objects: Objects, name: str = "live", *, step: int = 40, now: datetime = NOW) -> str:
    """A run that goes on; the id."""
    run = new_run(objects, name, minutes=60, phase="running").run
    write_steps(objects, run, first=1, last=step)
    go_on(objects, run, step=step, now=now)
    return run


def go_on(objects: Objects, run: str, *, step: int, now: datetime = NOW) -> None:
    """Let a run be at this step."""
    progress = ProgressRecord(
        step=step, total_steps=TOTAL_STEPS, epoch=step / 100, loss=loss(step), phase="training", updated_at=now,
        learning_rate=3e-5, samples_per_s=123.4,
    )  # fmt: skip
    runs.put_progress(objects, run, progress)


def write_steps(objects: Objects, run: str, *, first: int, last: int) -> None:
    """The figures of some steps, with an evaluation every 20."""
    log = steps.StepLog(objects, run, lease=1)
    for step in range(first, last + 1):
        log.add({"step": step, "epoch": step / 100, "loss": loss(step), "learning_rate": 3e-5 * (1 - step / 201),
                 "samples_per_s": 120 + step % 7, "gradient_norm": 1 + 0.3 * math.sin(step)})  # fmt: skip
        if step % 20 == 0:
            log.add({"step": step, "validation": {"loss": loss(step) + 0.05, "f1_macro": 1 - loss(step) / 2}})
    log.flush()


def loss(step: int) -> float:
    """It falls."""
    return math.exp(-step / 60) + 0.05 * math.sin(step * 1.7)


def _succeeded(objects: Objects, scratch: Path) -> None:
    metrics = {
        "validation": {"loss": 0.21, "f1_macro": 0.91, "confusion_matrix": [[5, 1], [2, 6]]},
        "test": {"loss": 0.25, "f1_macro": 0.8975},
    }
    changes: dict[str, Any] = {"phase": "succeeded", "step": TOTAL_STEPS, "total_steps": TOTAL_STEPS}
    ended_at = NOW + timedelta(minutes=9)
    run = new_run(objects, "reviews", best_step=160, metrics=metrics, ended_at=ended_at, **changes).run
    write_steps(objects, run, first=1, last=TOTAL_STEPS)
    for step in (160, 200):
        new_checkpoint(objects, run, step=step, scratch=scratch, f1_macro=0.9)
    events.append(objects, run, kind="restarted", now=NOW, reason="infrastructure", step=50, saved_step=40)
    events.append(objects, run, kind="evaluated", now=NOW, step=160, metrics={"f1_macro": 0.91, "loss": 0.21})


def _sweep(objects: Objects) -> None:
    run = new_run(objects, "search", minutes=45, kind="Sweep", phase="succeeded", best_step=60, step=210).run
    writer = events.Writer(objects, run)
    writer.append(sweep_events.started())
    for trial, rate in enumerate((1e-4, 3e-4, 1e-3)):
        writer.append(sweep_events.created(trial, {"train.learning_rate": rate, "method.rank": 4 * (trial + 1)}))
        writer.append(sweep_events.begun(trial))
        last = 90 - 30 * (trial == 2)
        for step in range(30, last + 1, 30):
            value = 0.5 + 0.1 * trial + step / 400
            writer.append(sweep_events.reported(trial, step, f1_macro=value, clock_s=float(step)))
        state = "pruned" if trial == 2 else "finished"
        writer.append(sweep_events.ended(trial, last, state=state, seconds=2.0 * last, clock_s=200.0))
    writer.append(sweep_events.event("sweep-ended", reason="the budget of 3 trials is used up", clock_s=200.0))


def _model(objects: Objects) -> None:
    for score in (0.85, 0.9):
        new_version(objects, "reviews", run="reviews-0001", metrics={"test": {"f1_macro": score, "loss": 0.3}})
    for version, seen in ((1, 0), (2, 1)):
        registry.point(
            objects,
            "reviews",
            "champion",
            version,
            action="promote",
            by="ada@host",
            reason="better",
            seen=seen,
            now=NOW,
        )
    registry.point(objects, "reviews", "trial", 1, action="promote", by="ada@host", reason="", seen=0, now=NOW)
    rollouts.tell(objects, "reviews", "champion", HeardRecord(at=NOW, num_replicas=2, loaded={1: 2, 2: 1}))
    common: dict[str, Any] = {"name": "reviews", "alias": "champion", "at": NOW}
    rollouts.write(objects, RolloutRecord(number=1, stable=1, phase="stable", **common))
    rollouts.write(
        objects,
        RolloutRecord(
            number=2, stable=1, candidate=2, share=0.1, phase="shifting", reason="loaded everywhere",
            facts={"error_rate": 0.001}, **common,
        ),
    )  # fmt: skip
