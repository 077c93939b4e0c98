"""What is there to tell of a run, in the words of a tracking server: parameters, series of metrics, tags, how it ended?

Pure, from what the run's storage says.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from pydantic_core import to_jsonable_python

from eagleray.spec.base import Spec
from eagleray.spec.finetune import FineTuneSpec
from eagleray.store.runs import LockRecord, RunRecord
from eagleray.store.sweeps import Sweep, Trial

Status = Literal["RUNNING", "FINISHED", "FAILED", "KILLED"]

_PHASES: dict[str, Status] = {"succeeded": "FINISHED", "failed": "FAILED", "stopped": "KILLED"}
_TRIALS: dict[str, Status] = {"finished": "FINISHED", "pruned": "KILLED", "unfit": "FAILED", "failed": "FAILED"}


@dataclass(frozen=True, slots=True)
class Point:
    """Metrics of a step."""

    step: int
    at: datetime
    metrics: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Told:
    """A run, or a trial of a sweep."""

    key: str  # by which it is known again: unique on its storage
    name: str
    began_at: datetime
    status: Status
    params: Mapping[str, str]
    tags: Mapping[str, str]
    points: tuple[Point, ...]  # by time; the same each time they are told
    trials: tuple[Told, ...] = field(default=())


def of_run(
    record: RunRecord, spec: FineTuneSpec, lock: LockRecord, rows: list[dict[str, Any]], sweep: Sweep | None = None
) -> Told:
    """A run with its steps and evaluations; a sweep with its trials."""
    return Told(
        key=record.run,
        name=record.run,
        began_at=record.started_at,
        status=_PHASES.get(record.phase, "RUNNING"),
        params=dict(_params(spec)),
        tags={
            "eagleray.kind": record.kind,
            "eagleray.git_commit": lock.git_commit,
            "eagleray.data_fingerprint": lock.data_fingerprint,
            "eagleray.model_sha256": lock.model_sha256,
        },
        points=(*map(_point, rows), *_final(record)),
        trials=() if sweep is None else tuple(_of_trial(record, trial) for trial in sweep.trials),
    )


def _of_trial(record: RunRecord, trial: Trial) -> Told:
    return Told(
        key=f"{record.run}/trial-{trial.number}",
        name=f"trial-{trial.number}",
        began_at=record.started_at,
        status=_TRIALS.get(trial.state, "RUNNING"),
        params={key: _text(value) for key, value in trial.params.items()},
        tags={"eagleray.kind": "Trial", "eagleray.state": trial.state},
        points=tuple(
            Point(
                report.step,
                record.started_at + timedelta(seconds=report.seconds),
                {f"validation/{name}": value for name, value in report.metrics.items()},
            )
            for report in trial.reports
        ),
    )


def _point(row: Mapping[str, Any]) -> Point:
    metrics: dict[str, float] = {}
    for name, value in row.items():
        if isinstance(value, Mapping):  # an evaluation, by its split
            metrics |= {f"{name}/{each}": float(number) for each, number in value.items() if _is_number(number)}
        elif name != "step" and _is_number(value):
            metrics[f"train/{name}"] = float(value)
    return Point(int(row["step"]), datetime.fromisoformat(row["time"]), metrics)


def _final(record: RunRecord) -> Iterator[Point]:
    """What the final model scores."""
    if record.ended_at is None:
        return
    scores = {
        f"final/{split}/{name}": float(value)
        for split, measured in record.metrics.items()
        for name, value in measured.items()
        if _is_number(value)
    }
    yield Point(record.best_step or record.step, record.ended_at, scores)


def _params(spec: Spec, path: str = "") -> Iterator[tuple[str, str]]:
    """The leaves of a document. What a section does not set is left out."""
    for name in type(spec).model_fields:
        value, key = getattr(spec, name), f"{path}{name}"
        if isinstance(value, Spec):
            yield from _params(value, f"{key}.")
        elif value is not None:
            yield key, _text(value)


def _text(value: Any) -> str:
    plain = to_jsonable_python(value)
    return plain if isinstance(plain, str) else str(plain)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
