"""What an event of a run means to someone who looks on."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from rich.filesize import decimal

from eagleray.cli.printing import number

if TYPE_CHECKING:
    from eagleray.store.events import Event

_SHOWN_METRICS = 4


def sentence(event: Event) -> str:
    """What it means; empty for what the progress shows anyway."""
    facts = event.fields
    match event.kind:
        case "restored":
            then = facts["num_workers_then"]
            others = f", which {then} workers wrote" if then != facts["num_workers"] else ""
            source = f" of {facts['forked_from']}" if "forked_from" in facts else ""
            return f"going on from the checkpoint of step {facts['step']}{source}{others}"
        case "restarted":
            what = f" ({facts['what'].splitlines()[0]})" if facts.get("what") else ""
            lost = facts["step"] - facts["saved_step"]
            repeated = f"{lost} step{'s' if lost != 1 else ''} to repeat" if lost > 0 else "no step lost"
            smaller = f"; micro batches of {facts['micro_batch_limit']} at most" if "micro_batch_limit" in facts else ""
            behind = f"; worker {facts['first_behind']} fell behind first" if "first_behind" in facts else ""
            mute = "".join(f"; worker {rank} cannot answer" for rank in facts.get("without_answer", ()))
            return f"restart, {facts['reason'].replace('_', ' ')}{what}: {repeated}{smaller}{behind}{mute}"
        case "checkpoint-damaged":
            return f"warning: the checkpoint of step {facts['step']} is passed over: {facts['reason']}"
        case "storage-trouble":
            return f"warning: {facts['error']}; trying again"
        case "quarantined":
            return f"warning: {facts['num_samples']} training samples were left out: see quarantine.jsonl of the run"
    return ""


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
    return sentence(event) or f"{event.kind} {told}".rstrip()
