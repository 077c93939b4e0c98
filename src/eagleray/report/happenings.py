"""What an event of a run means to someone who looks on, in a sentence."""

from __future__ import annotations

from eagleray.store.events import Event

LONG_STALL_S = 1.0
"""A shorter wait for the storage is not told."""


def sentence(event: Event) -> str:
    """What is out of the ordinary; empty for all else."""
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
    """The same for who reads it afterwards: also how the run ended, and where training waited for a checkpoint."""
    facts = event.fields
    match event.kind:
        case "continued":
            return "the same command was run again"
        case "stopped":
            return f"stopped {facts.get('how', '')}".rstrip()
        case "stopped-early":
            return f"stopped early at step {facts['step']}: the validation rows got no better"
        case "failed":
            return f"failed: {facts.get('reason', '')}"
        case "checkpoint" if facts.get("stall_s", 0.0) >= LONG_STALL_S:
            return (
                f"stood still for {facts['stall_s']:.1f} s before the checkpoint of step {facts['step']}: "
                "the one before was still being written"
            )
    return sentence(event)
