"""Events of a sweep as its driver writes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from eagleray.store.events import Event
from tests.support.records import NOW

OBJECTIVES = ({"metric": "f1_macro", "mode": "max"},)


def event(kind: str, *, clock_s: float = 0.0, **fields: Any) -> Event:
    """Any of them."""
    return Event(kind=kind, at=NOW, fields={**fields, "clock_s": clock_s})


def started(*, clock_s: float = 0.0, **setup: Any) -> Event:
    """A driver begins."""
    facts = {"total_steps": 90, "num_devices": 1.0, "device": "CPU", "objectives": OBJECTIVES, "constraints": ()}
    return event("sweep-started", clock_s=clock_s, **{**facts, **setup})


def created(
    trial: int, params: Mapping[str, Any] | None = None, *, source: str = "search", clock_s: float = 0.0
) -> Event:
    """A configuration is proposed."""
    given = dict(params) if params else {"train.learning_rate": 1e-4}
    return event("trial-created", clock_s=clock_s, trial=trial, params=given, source=source)


def begun(trial: int, *, life: int = 1, first_step: int = 0, clock_s: float = 0.0) -> Event:
    """A trial has its worker."""
    run = f"trial-{trial}-{life:04d}"
    return event("trial-started", clock_s=clock_s, trial=trial, run=run, first_step=first_step)


def reported(trial: int, step: int, *, clock_s: float = 0.0, seconds: float | None = None, **metrics: float) -> Event:
    """An evaluation, two seconds a step where nothing else is said."""
    lasted = 2.0 * step if seconds is None else seconds
    return event("trial-reported", clock_s=clock_s, trial=trial, step=step, metrics=metrics, seconds=lasted)


def ended(
    trial: int, step: int = 0, *, state: str = "finished", error: str = "", seconds: float = 0.0, clock_s: float = 0.0
) -> Event:
    """A trial is over."""
    facts = {"state": state, "error": error, "step": step, "seconds": seconds}
    return event("trial-ended", clock_s=clock_s, trial=trial, **facts)
