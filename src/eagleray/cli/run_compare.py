"""`eagleray runs compare`: in what runs differ."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from eagleray.cli import printing
from eagleray.cli import storage as storages
from eagleray.cli.options import AsJson, Storage
from eagleray.errors import UserError

if TYPE_CHECKING:
    from eagleray.report.comparison import Comparison, Difference
    from eagleray.store.runs import RunRecord

MOST = 8
"""Runs that have room side by side in 80 columns."""


def compare(
    run: Annotated[
        list[str], typer.Argument(metavar="RUN...", help="Run ids, or names for their newest succeeded runs.")
    ],
    storage: Storage = None,
    as_json: AsJson = False,
) -> None:
    """Show in what two or more runs differ: documents, data, versions, metrics, time.

    Of the documents and of what the runs were made with only the keys that differ are shown, as --set takes them. The
    best value of each metric has a star.

    \b
    Examples:
      eagleray runs compare reviews-0001 reviews-0002
      eagleray runs compare reviews sms --json
    """
    from eagleray.report import comparison
    from eagleray.store import runs

    if len(run) < 2:
        raise UserError("one run has nothing to be compared with: give two or more")
    objects = storages.open_there(storage)
    records = list({record.run: record for record in (runs.find(objects, each) for each in run)}.values())
    if len(records) < 2:
        raise UserError(f"{' and '.join(run)} are one run, {records[0].run}: give two or more, by their ids")
    if len(records) > MOST and not as_json:
        raise UserError(f"{len(records)} runs have no room side by side: give at most {MOST}, or add --json")
    found = comparison.compare(objects, records)
    if as_json:
        printing.show_json(_shown(found))
        return
    from eagleray.cli import compare_tables

    printing.show(*compare_tables.parts(found))


def _shown(found: Comparison) -> dict[str, Any]:
    ids = [record.run for record in found.records]
    return {
        "runs": [_facts(record) for record in found.records],
        "document": [_difference(each, ids) for each in found.document],
        "made_with": [_difference(each, ids) for each in found.made_with],
        "metrics": [
            {
                "split": score.split,
                "metric": score.metric,
                "values": dict(zip(ids, score.values, strict=True)),
                "best": [run for run, is_best in zip(ids, score.best, strict=True) if is_best],
            }
            for score in found.scores
        ],
        "has_same_data": found.has_same_data,
    }


def _facts(record: RunRecord) -> dict[str, Any]:
    fields = {"run", "name", "kind", "phase", "started_at", "ended_at", "step", "total_steps", "best_step", "restarts"}
    seconds = (record.ended_at - record.started_at).total_seconds() if record.ended_at else None
    return {**record.model_dump(mode="json", include=fields), "seconds": seconds}


def _difference(each: Difference, ids: list[str]) -> dict[str, Any]:
    return {"key": each.key, "values": dict(zip(ids, each.values, strict=True))}
