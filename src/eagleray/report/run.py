"""The page of a run: what came of it, what is wrong with it, how it learned, and what it was made of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml

from eagleray.report import answers, histograms, learning, page, timeline, wording
from eagleray.report.diagnosis.run import diagnose
from eagleray.report.history import History
from eagleray.report.lineage import lineage
from eagleray.report.page import Panel, Tile, panel
from eagleray.report.run_tables import class_rows, event_rows, metric_rows, mistake_tables
from eagleray.store import best
from eagleray.store.lineage import VersionRecord
from eagleray.store.runs import RunRecord

NOT_WRITTEN = "Not written down: an older version trained this run, or it has not come so far."
_SHOWN_METRICS = ("f1_macro", "accuracy", "perplexity", "mse", "r2", "loss")
"""What a tile may show of a split, the first two that there are."""


def render(history: History, *, versions: Sequence[VersionRecord] = ()) -> str:
    """Return the HTML of one self-contained file. `versions` are the registered models that were made of the run."""
    record, found = history.record, history.goodput
    figures = {each.name: each for each in _panels(history)}
    return page.render(
        "run.html.jinja",
        run=record.run,
        headline=" ".join(_headline(history)),
        tiles=list(_tiles(history)),
        findings=diagnose(history),
        panels=figures,
        spent=timeline.parts(found) if found and found.wall_s else [],
        has_figures=any(each.figure for each in figures.values()),
        splits=list(record.metrics),
        metrics=metric_rows(record.metrics),
        classes=class_rows(record.metrics, history.label_counts()),
        mistakes=mistake_tables(history),
        has_labels="per_class" in _measured(record),
        data_warnings=history.data.warnings if history.data else (),
        events=event_rows(history.events),
        lineage=lineage(history, versions),
        document=yaml.safe_dump(dict(history.document), sort_keys=False, allow_unicode=True, width=100),
    )


def _headline(history: History) -> Iterator[str]:
    record = history.record
    of_steps = f" of {record.total_steps:,}" if record.total_steps else ""
    match record.phase:
        case "succeeded":
            yield f"It succeeded after {record.step:,} steps."
        case "failed":
            yield f"It failed after {record.step:,}{of_steps} steps: {record.error.rstrip('.')}."
        case "stopped":
            yield f"It was stopped after {record.step:,}{of_steps} steps."
        case _:
            yield f"It is {record.phase}."
    if record.best_step is not None:
        yield f"The model is that of step {record.best_step:,}."
    if record.forked_from:
        yield f"It began with step {record.forked_from.step:,} of {record.forked_from.run}."


def _tiles(history: History) -> Iterator[Tile]:
    record = history.record
    for split in ("test", "validation"):
        measured = record.metrics.get(split, {})
        names = [name for name in _SHOWN_METRICS if best.value_of(measured, name) is not None][:2]
        for name in names:
            untuned = best.value_of(record.metrics.get("untuned", {}), name)
            note = f"on {split}" + (f"; untuned {wording.number(untuned)}" if untuned is not None else "")
            yield Tile(name, wording.number(float(measured[name])), note, is_best=True)
        if names:
            break
    yield Tile("steps", f"{record.step:,}", f"of {record.total_steps:,}" if record.total_steps else "")
    if record.ended_at:
        seconds = (record.ended_at - record.started_at).total_seconds()
        yield Tile("from start to end", wording.duration(seconds), wording.counted(record.restarts, "restart"))
    found = history.goodput
    if found is not None:
        yield Tile("goodput", f"{found.share:.0%}", f"of {wording.duration(found.wall_s)} went into steps that count")
    speeds = [speed for _, speed in history.figures("samples_per_s")]
    if speeds:
        yield Tile("samples a second", wording.number(sorted(speeds)[len(speeds) // 2]), "in the median")


def _panels(history: History) -> Iterator[Panel]:
    yield from _learning_panels(history)
    yield from _answer_panels(history)
    found = history.goodput
    yield panel(
        "goodput",
        "Where the time went",
        _goodput_note(history),
        timeline.spent(found) if found and found.wall_s else None,
        without=NOT_WRITTEN,
    )
    yield panel(
        "timeline",
        "Time line",
        "An attempt is a set of workers, from when they are asked for until they are gone. The time in which nobody "
        "ran the run is left out.",
        timeline.attempts(history),
        without="",
        width_px=620,
    )
    data = history.data
    yield panel(
        "lengths",
        "How long the rows are",
        f"In tokens, before the cut at data.max_length {data.max_length}." if data else "",
        histograms.lengths(data) if data else None,
        without=NOT_WRITTEN,
    )
    yield panel(
        "labels",
        "Labels",
        "The share of each split's rows.",
        histograms.labels(data) if data else None,
        without=NOT_WRITTEN if data is None else "The task has no labels.",
    )


def _learning_panels(history: History) -> Iterator[Panel]:
    yield panel(
        "losses",
        "Loss",
        "Of training the mean since the record before; of the validation rows at each evaluation.",
        learning.losses(history),
        without="Nothing to draw: no step is recorded.",
    )
    names = [name for name in history.metric_names() if name != "loss"]
    metric = next((name for name in _SHOWN_METRICS if name in names), names[0] if names else None)
    yield panel(
        "metric",
        f"{metric} over the steps" if metric else "Metric",
        "Of the validation rows.",
        learning.metric(history, metric) if metric else None,
        without="Nothing to draw: there was no evaluation.",
    )
    yield panel(
        "rate", "Learning rate", "As it was in each step.", learning.rate(history), without="No step is recorded."
    )
    yield panel(
        "norms",
        "Gradient norm",
        "Of all weights together, before clipping.",
        learning.norms(history),
        without="No step is recorded.",
    )
    yield panel(
        "layers",
        "Gradient norm by layer",
        "From the input at the top to the output. Pale layers learn little.",
        learning.layers(history),
        without=NOT_WRITTEN,
        width_px=460,
    )


def _answer_panels(history: History) -> Iterator[Panel]:
    split, measured = _split(history.record), _measured(history.record)
    matrix, labels = measured.get("confusion_matrix"), list(measured.get("per_class", {}))
    note = f"On {split}: a row is a label, a column what was answered; the darker, the more of the label's rows."
    if len(labels) > answers.MAX_LABELS:
        note += f" The {answers.MAX_LABELS} most frequent of {len(labels)} labels."
    yield panel(
        "confusion",
        "What is taken for what",
        note,
        answers.confusion(matrix, labels) if matrix else None,
        without="There is no confusion matrix: the task has not one label a row, or the run has no final metrics.",
        width_px=answers.width_px(len(labels)),
    )
    bins = measured.get("calibration")
    error = measured.get("calibration_error")
    yield panel(
        "calibration",
        "Can its probabilities be believed?",
        f"On {split}. Below the dashed line it is too sure, above it not sure enough"
        + (f"; off by {error:.1%} on average." if error is not None else "."),
        answers.reliability(bins) if bins else None,
        without=NOT_WRITTEN if matrix else "The task has no probabilities, or the run has no final metrics.",
    )


def _goodput_note(history: History) -> str:
    found = history.goodput
    if found is None:
        return ""
    note = f"Steps that count took {found.share:.1%} of {wording.duration(found.wall_s)}."
    if found.num_untold:
        counted = wording.counted(found.num_untold, "attempt")
        note += f" {counted} left no account: that time is in lost work, or in closing."
    return note


def _split(record: RunRecord) -> str:
    return next((split for split in ("test", "validation") if record.metrics.get(split)), "no split")


def _measured(record: RunRecord) -> Mapping[str, Any]:
    return record.metrics.get(_split(record), {})
