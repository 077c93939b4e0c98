"""One line about an event of a run, whatever it is: for who follows along without a live line."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from rich.filesize import decimal

from eagleray.cli.printing import number
from eagleray.report import happenings

if TYPE_CHECKING:
    from eagleray.store.events import Event

_SHOWN_METRICS = 4


def line(event: Event) -> str:
    """One line about it, whatever it is."""
    facts = event.fields
    match event.kind:
        case "evaluated":
            scores = (f"{name} {number(value)}" for name, value in facts["metrics"].items())
            return f"evaluated at step {facts['step']}: {', '.join(islice(scores, _SHOWN_METRICS))}"
        case "started":
            workers = facts["world_size"]
            return (
                f"started: {workers} worker{'s' if workers != 1 else ''}, micro batches of {facts['micro_batch_size']}"
            )
        case "checkpoint":
            return f"checkpoint of step {facts['step']}, {decimal(facts['size_bytes'])}"
    told = " ".join(f"{name}={number(value) or value}" for name, value in facts.items() if not isinstance(value, dict))
    return happenings.line(event) or f"{event.kind} {told}".rstrip()
