"""How do records look to the page? As plain JSON, with what it would otherwise have to work out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from eagleray.store import best, ranking, signs, sweeps
from eagleray.store.checkpoints import Manifest
from eagleray.store.events import Event
from eagleray.store.lineage import VersionRecord
from eagleray.store.registry import AliasChange
from eagleray.store.rollouts import HEARD_FOR_S, HeardRecord, RolloutRecord
from eagleray.store.runs import ProgressRecord, RunRecord
from eagleray.store.sweeps import Sweep, Trial

SHOWN_EVENTS, SHOWN_DECISIONS = 200, 20
_FACTS = {"reason", "share", "candidate", "stable", "phase", "at", "facts", "number"}

Json = dict[str, Any]


def run(
    record: RunRecord,
    *,
    progress: ProgressRecord | None = None,
    heard_at: datetime | None = None,
    now: datetime | None = None,
) -> Json:
    """A run; of one that goes on also how far it is, and whether it is silent."""
    is_going = not signs.has_ended(record)
    return {
        **record.model_dump(mode="json", exclude={"metrics"}),
        "metrics": {split: numbers(measured) for split, measured in record.metrics.items()},
        "step": max(record.step, progress.step) if progress else record.step,
        "total_steps": progress.total_steps if progress else record.total_steps,
        "progress": progress.model_dump(mode="json") if progress else None,
        "is_going": is_going,
        "is_silent": bool(is_going and heard_at and now and signs.is_silent(heard_at, now=now)),
        "heard_at": heard_at.isoformat() if heard_at else None,
    }


def checkpoint(manifest: Manifest, record: RunRecord) -> Json:
    """A checkpoint of a run."""
    return {
        "step": manifest.step,
        "created_at": manifest.created_at.isoformat(),
        "size_bytes": sum(file.size_bytes for file in manifest.files),
        "metrics": numbers(manifest.metrics),
        "is_best": manifest.step == record.best_step,
    }


def events(happened: Sequence[Event]) -> list[Json]:
    """The last events, newest first."""
    return [event.model_dump(mode="json") for event in reversed(happened[-SHOWN_EVENTS:])]


def sweep(found: Sweep, going: frozenset[int]) -> Json:
    """A sweep with its trials: the best first, then those without a place by number."""
    ordered = ranking.ranked(found.trials, objectives=found.objectives, constraints=found.constraints)
    places = {trial.number: place for place, trial in enumerate(ordered, start=1)}
    trials = sorted(found.trials, key=lambda trial: (places.get(trial.number, len(places) + 1), trial.number))
    by = ranking.primary(found.objectives) if found.objectives else None
    return {
        "objective": by.model_dump(mode="json") if by else None,
        "trial_steps": found.total_steps,
        "num_steps": found.num_steps,
        "device_hours": found.device_hours,
        "device": found.device,
        "seconds": found.seconds,
        "end_reason": found.end_reason,
        "trials": [_trial(trial, found, place=places.get(trial.number), going=going) for trial in trials],
    }


def model(name: str, versions: Sequence[VersionRecord], aliases: Mapping[str, AliasChange]) -> Json:
    """A registered model, by its newest version."""
    return {
        "name": name,
        "num_versions": len(versions),
        "newest": version(versions[-1], aliases) if versions else None,
        "aliases": {alias: change.model_dump(mode="json") for alias, change in sorted(aliases.items())},
    }


def version(record: VersionRecord, aliases: Mapping[str, AliasChange]) -> Json:
    """A version of a model."""
    fields = {"version", "run", "step", "task", "method", "created_at", "model_source", "num_golden"}
    return {
        **record.model_dump(mode="json", include=fields),
        "metrics": {split: numbers(measured) for split, measured in record.metrics.items()},
        "size_bytes": sum(file.size_bytes for file in record.files),
        "onnx": {precision: onnx.model_dump(mode="json") for precision, onnx in record.onnx.items()},
        "aliases": sorted(alias for alias, change in aliases.items() if change.version == record.version),
    }


def history(changes: Sequence[AliasChange]) -> list[Json]:
    """The changes of an alias, newest first."""
    return [change.model_dump(mode="json") for change in reversed(changes)]


def endpoint(
    name: str,
    alias: str,
    decided: Sequence[RolloutRecord],
    change: AliasChange | None,
    heard: HeardRecord | None,
    *,
    now: datetime,
) -> Json:
    """What an endpoint that follows an alias decided and told; `now` is None where none ever followed it."""
    decisions = [record.model_dump(mode="json", include=_FACTS) for record in reversed(decided[-SHOWN_DECISIONS:])]
    return {
        "model": name,
        "alias": alias,
        "points_to": change.version if change else None,
        "now": decisions[0] if decisions else None,
        "heard": heard.model_dump(mode="json") if heard else None,
        "is_silent": heard is None or (now - heard.at).total_seconds() > HEARD_FOR_S,
        "decisions": decisions,
    }


def numbers(metrics: Mapping[str, Any]) -> dict[str, float]:
    """The metrics that are numbers."""
    found = {name: best.value_of(metrics, name) for name in metrics}
    return {name: value for name, value in found.items() if value is not None}


def _trial(trial: Trial, found: Sweep, *, place: int | None, going: frozenset[int]) -> Json:
    by = ranking.primary(found.objectives).metric if found.objectives else ""
    report = ranking.best_report(trial, found.objectives) if found.objectives else None
    is_waiting = trial.state not in sweeps.ENDED and trial.number not in going
    return {
        "trial": trial.number,
        "params": dict(trial.params),
        "state": "waiting" if is_waiting else trial.state,
        "place": place,
        "step": trial.step,
        "seconds": trial.seconds,
        "value": report.metrics[by] if report else None,
        "value_step": report.step if report else None,
        "metrics": numbers(report.metrics) if report else {},
        "steps": [each.step for each in trial.reports],
        "values": [best.value_of(each.metrics, by) for each in trial.reports],
        "source": trial.source,
        "run": trial.run,
        "error": trial.error,
    }
