"""Runs, their checkpoints and their ledger as tables for people, readable at 80 columns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from rich.filesize import decimal
from rich.table import Table
from rich.text import Text

from eagleray.cli.printing import moment, number

if TYPE_CHECKING:
    from eagleray.report.diagnosis.finding import Finding
    from eagleray.store.checkpoints import Manifest
    from eagleray.store.events import Event
    from eagleray.store.goodput import Goodput
    from eagleray.store.ledger import EpochUse, LedgerReport
    from eagleray.store.runs import RunRecord

_SHOWN_METRICS = 2
_SHOWN_EPOCHS = 3
_SHOWN_CATEGORIES = 3


def runs_table(records: Iterable[RunRecord]) -> Table:
    """A run a row."""
    table = Table(box=None, pad_edge=False)
    table.add_column("run", overflow="fold")
    table.add_column("phase", no_wrap=True)
    table.add_column("started (UTC)", no_wrap=True)
    table.add_column("step", justify="right", no_wrap=True)
    table.add_column("metrics", overflow="fold")
    for record in records:
        table.add_row(record.run, record.phase, moment(record.started_at), str(record.step), _few_metrics(record))
    return table


def facts_table(
    record: RunRecord,
    *,
    restarts: dict[str, int],
    ledger: LedgerReport | None,
    goodput: Goodput | None,
    stored_at: str,
) -> Table:
    """What is known of one run, a fact a row."""
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    of_steps = f" of {record.total_steps}" if record.total_steps else ""
    fork = record.forked_from
    facts = {
        "run": record.run,
        "kind": record.kind,
        "phase": record.phase,
        "forked from": f"step {fork.step} of {fork.run}" if fork else "",
        "started": moment(record.started_at),
        "ended": moment(record.ended_at) if record.ended_at else "",
        "step": f"{record.step}{of_steps}",
        "best step": str(record.best_step) if record.best_step is not None else "",
        "restarts": _restarts_text(restarts),
        "ledger": ledger_text(ledger) if ledger else "",
        "goodput": goodput_text(goodput) if goodput else "",
        "error": record.error,
        "stored at": stored_at,
    }
    for name, value in facts.items():
        if value:
            table.add_row(name, value)
    return table


def metrics_table(record: RunRecord) -> Table:
    """A metric a row, a split a column."""
    table = Table(box=None, pad_edge=False)
    table.add_column("metric")
    for split in record.metrics:
        table.add_column(split, justify="right")
    names = dict.fromkeys(name for measured in record.metrics.values() for name in measured)
    for name in names:
        values = [measured.get(name) for measured in record.metrics.values()]
        if any(isinstance(value, int | float) for value in values):
            table.add_row(name, *map(number, values))
    return table


def checkpoints_table(manifests: Iterable[Manifest], best_step: int | None) -> Table:
    """A checkpoint a row."""
    table = Table(box=None, pad_edge=False)
    for name in ("checkpoint", "attempt", "epoch, batch", "size", "workers", "written (UTC)", ""):
        table.add_column(name, no_wrap=True)
    for manifest in manifests:
        table.add_row(
            f"step {manifest.step}",
            str(manifest.lease),
            f"{manifest.position.epoch}, {manifest.position.batch}",
            decimal(sum(file.size_bytes for file in manifest.files)),
            str(manifest.world_size),
            moment(manifest.created_at),
            "best" if manifest.step == best_step else "",
        )
    return table


def event_line(event: Event) -> str:
    """What happened, and when."""
    fields = [f"{name}={number(value) or value}" for name, value in event.fields.items() if not isinstance(value, dict)]
    return f"{moment(event.at)}  {event.kind}  {' '.join(fields)}"


def count_restarts(events: Iterable[Event]) -> dict[str, int]:
    """How often the workers were started again, by reason."""
    return dict(Counter(str(event.fields.get("reason", "")) for event in events if event.kind == "restarted"))


def goodput_text(goodput: Goodput) -> str:
    """How much of the time went into steps that count, and what took most of the rest."""
    others = {name: seconds for name, seconds in goodput.seconds.items() if name != "steps" and seconds}
    largest = sorted(others.items(), key=lambda item: -item[1])[:_SHOWN_CATEGORIES]
    wall_s = goodput.wall_s or 1.0
    rest = ", ".join(f"{name.replace('_', '-')} {seconds / wall_s:.0%}" for name, seconds in largest)
    return f"{goodput.share:.0%} of {goodput.wall_s:,.0f} s{f' ({rest})' if rest else ''}"


def diagnosis_table(findings: Iterable[Finding]) -> Table:
    """A finding a row: what it is, by which numbers, and what to do."""
    table = Table(box=None, pad_edge=False)
    table.add_column("diagnosis", no_wrap=True)
    table.add_column("", overflow="fold")
    for finding in findings:
        told = f"{finding.what}\n{finding.evidence}.\n{finding.advice}."
        table.add_row(finding.severity, Text(told))  # no markup: labels come from the data
    return table


def ledger_text(report: LedgerReport) -> str:
    """Whether each sample was used exactly once an epoch."""
    if report.problem:
        return f"not exact: {report.problem}"
    if not report.epochs:
        return "no samples used yet"
    if not report.is_exact:
        wrong = [epoch for epoch in report.epochs if epoch.num_repeated or not epoch.is_complete]
        more = f" and {len(wrong) - _SHOWN_EPOCHS} more epochs" if len(wrong) > _SHOWN_EPOCHS else ""
        return f"not exact: {'; '.join(map(_wrong, wrong[:_SHOWN_EPOCHS]))}{more}"
    return _exact(report.epochs, report.num_samples)


def _exact(epochs: Sequence[EpochUse], num_samples: int) -> str:
    complete = [epoch for epoch in epochs if epoch.is_complete]
    parts = []
    if complete:
        num_skipped = max(epoch.num_skipped for epoch in complete)
        but_for = f", but for {num_skipped:,} left out" if num_skipped else ""
        parts.append(f"{_plural(len(complete), 'epoch')}, each of {num_samples:,} samples used exactly once{but_for}")
    if not epochs[-1].is_complete:
        parts.append(f"{epochs[-1].num_used:,} of {num_samples:,} samples of epoch {epochs[-1].epoch}, none twice")
    return "; ".join(parts)


def _wrong(epoch: EpochUse) -> str:
    return f"epoch {epoch.epoch}: {epoch.num_missed:,} missed, {epoch.num_repeated:,} used twice or more"


def _restarts_text(restarts: dict[str, int]) -> str:
    if not restarts:
        return ""
    reasons = ", ".join(f"{count} {reason}" for reason, count in restarts.items())
    return f"{sum(restarts.values())} ({reasons})"


def _few_metrics(record: RunRecord) -> str:
    measured = record.metrics.get("test") or record.metrics.get("validation") or {}
    numbers = {name: value for name, value in measured.items() if isinstance(value, int | float)}
    return " ".join(f"{name} {number(value)}" for name, value in list(numbers.items())[:_SHOWN_METRICS])


def _plural(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
