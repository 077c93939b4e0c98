"""Registered models, their versions and their aliases as tables for people, readable at 80 columns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.filesize import decimal
from rich.table import Table

from eagleray.cli.printing import moment, number

if TYPE_CHECKING:
    from eagleray.store.registry import AliasChange, OnnxRecord, VersionRecord

_SHOWN_METRICS = 2


@dataclass(frozen=True, slots=True)
class Model:
    """What a listing tells of one registered model."""

    name: str
    versions: Sequence[VersionRecord]
    aliases: Mapping[str, int]

    def aliases_of(self, version: int) -> list[str]:
        """The aliases that point to a version."""
        return [alias for alias, pointed in self.aliases.items() if pointed == version]


def models_table(models: Iterable[Model]) -> Table:
    """A version a row."""
    table = Table(box=None, pad_edge=False)
    table.add_column("version", overflow="fold")
    table.add_column("run", overflow="fold")
    table.add_column("registered (UTC)", no_wrap=True)
    table.add_column("metrics", overflow="fold")
    table.add_column("aliases", overflow="fold")
    for model in models:
        for each in model.versions:
            aliases = ", ".join(model.aliases_of(each.version))
            table.add_row(f"{each.name}@{each.version}", each.run, moment(each.created_at), _few(each), aliases)
    return table


def lineage_table(record: VersionRecord, *, aliases: Sequence[str], stored_at: str) -> Table:
    """What a version is and what it was made from, a fact a row."""
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    lock = record.lock
    facts = {
        "version": f"{record.name}@{record.version}",
        "aliases": ", ".join(aliases),
        "registered": moment(record.created_at),
        "run": record.run if record.step is None else f"{record.run}, step {record.step}",
        "task": record.task,
        "method": record.method,
        "pretrained": f"{record.model_source} ({_hash(record.model_sha256)})",
        "data": lock.data_fingerprint,
        **{f"{split} rows": _hash(sha256) for split, sha256 in record.evaluated_on.items()},
        "code": lock.git_commit,
        "packages": ", ".join(
            f"{name} {version}" for name, version in {"python": lock.python, **lock.versions}.items()
        ),
        "seed": str(lock.seed),
        "golden rows": str(record.num_golden),
        **{f"onnx {precision}": _onnx(each) for precision, each in record.onnx.items()},
        "stored at": stored_at,
    }
    for name, value in facts.items():
        if value:
            table.add_row(name, value)
    return table


def metrics_table(metrics: Mapping[str, Mapping[str, object]]) -> Table:
    """A metric a row, a split a column."""
    table = Table(box=None, pad_edge=False)
    table.add_column("metric")
    for split in metrics:
        table.add_column(split, justify="right")
    for name in dict.fromkeys(name for measured in metrics.values() for name in measured):
        cells = [number(measured.get(name)) for measured in metrics.values()]
        if any(cells):
            table.add_row(name, *cells)
    return table


def files_table(record: VersionRecord) -> Table:
    """A file a row."""
    table = Table(box=None, pad_edge=False)
    table.add_column("file", overflow="fold")
    table.add_column("size", justify="right", no_wrap=True)
    table.add_column("sha256", no_wrap=True)
    for file in record.files:
        table.add_row(file.path, decimal(file.size_bytes), file.sha256[:16])
    return table


def history_table(changes: Iterable[AliasChange]) -> Table:
    """A change of an alias a row."""
    table = Table(box=None, pad_edge=False)
    table.add_column("alias", no_wrap=True)
    table.add_column("when (UTC)", no_wrap=True)
    table.add_column("what", no_wrap=True)
    table.add_column("by", overflow="fold")
    table.add_column("reason", overflow="fold")
    for each in changes:
        table.add_row(each.alias, moment(each.at), _moved(each), each.by, each.reason)
    return table


def _moved(change: AliasChange) -> str:
    if change.action == "remove":
        return f"remove {change.version} ->"
    before = f"{change.previous} " if change.previous is not None else ""
    return f"{change.action} {before}-> {change.version}"


def _few(record: VersionRecord) -> str:
    measured = record.metrics.get("test") or record.metrics.get("validation") or {}
    numbers = [f"{name} {number(value)}" for name, value in measured.items() if number(value)]
    return " ".join(numbers[:_SHOWN_METRICS])


def _onnx(record: OnnxRecord) -> str:
    return (
        f"{decimal(record.size_bytes)}; same best label as PyTorch on {record.agreement:.1%} of the golden rows, "
        f"probabilities differ by at most {number(record.max_difference)}"
    )


def _hash(sha256: str) -> str:
    return f"sha256 {sha256[:16]}"
