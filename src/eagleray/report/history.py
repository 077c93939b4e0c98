"""What has a run left behind? Read once, as values; what an older version did not write down is empty."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import yaml
from pydantic import ValidationError

from eagleray.data.checks import DataReport
from eagleray.store import checkpoints, events, goodput, mistakes, paths, runs, steps, times
from eagleray.store.events import Event
from eagleray.store.goodput import Goodput
from eagleray.store.manifests import Manifest
from eagleray.store.mistakes import MistakesRecord
from eagleray.store.objects import ObjectMissing, Objects
from eagleray.store.runs import LockRecord, RunRecord
from eagleray.store.times import AttemptTimes

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True, slots=True)
class History:
    """A run's records."""

    record: RunRecord
    document: Mapping[str, Any]
    until: datetime
    """When it was last heard of."""
    lock: LockRecord | None = None
    data: DataReport | None = None
    rows: Sequence[Mapping[str, Any]] = ()
    """The figures of the steps, see `train.recorder`."""
    events: Sequence[Event] = ()
    manifests: Sequence[Manifest] = ()
    times: Sequence[AttemptTimes] = ()
    mistakes: Sequence[MistakesRecord] = ()

    @property
    def goodput(self) -> Goodput | None:
        """Where its time went; None where that was not written down."""
        return goodput.compute(self.record, self.events, self.times, until=self.until)

    def key(self, path: str, default: Any = None) -> Any:
        """A value of the document by its path below `spec`; `default` where there is none."""
        value: Any = self.document.get("spec", {})
        for name in path.split("."):
            if not isinstance(value, Mapping) or name not in value:
                return default
            value = value[name]
        return value

    def figures(self, name: str) -> list[tuple[int, float]]:
        """A figure of training by step, as `loss`; NaN where it was no number."""
        return [(row["step"], _number(row[name])) for row in self.rows if name in row]

    def evaluations(self, metric: str) -> list[tuple[int, float]]:
        """A metric of the validation rows by step."""
        measured = [(row["step"], row["validation"]) for row in self.rows if "validation" in row]
        return [(step, _number(metrics[metric])) for step, metrics in measured if metric in metrics]

    def label_counts(self) -> dict[str, int]:
        """How many training rows each label has; {} where that was not written down, or there are none."""
        return (
            next((split.label_counts for split in self.data.splits if split.name == "train"), {}) if self.data else {}
        )

    def metric_names(self) -> list[str]:
        """The metrics that evaluations told, in their order."""
        return list(dict.fromkeys(name for row in self.rows for name in row.get("validation", {})))

    def layers(self) -> list[tuple[int, dict[str, float]]]:
        """The norms of the gradients by layer and step."""
        measured = [(row["step"], row["gradient_norms"]) for row in self.rows if "gradient_norms" in row]
        return [(step, {layer: _number(norm) for layer, norm in norms.items()}) for step, norms in measured]


def read(objects: Objects, record: RunRecord) -> History:
    """Read the records of a run."""
    progress = runs.read_progress(objects, record.run)
    found = (mistakes.read(objects, record.run, split) for split in SPLITS)
    return History(
        record=record,
        document=yaml.safe_load(runs.read_document(objects, record.run)) or {},
        lock=_lock(objects, record.run),
        data=_data(objects, record.run),
        rows=steps.read_steps(objects, record.run),
        events=events.read_events(objects, record.run),
        manifests=checkpoints.list_manifests(objects, record.run),
        times=times.read_all(objects, record.run),
        mistakes=[each for each in found if each is not None],
        until=progress.updated_at if progress else record.started_at,
    )


def _lock(objects: Objects, run: str) -> LockRecord | None:
    try:
        return runs.read_lock(objects, run)
    except ObjectMissing:
        return None


def _data(objects: Objects, run: str) -> DataReport | None:
    try:
        return DataReport.model_validate_json(objects.read(paths.data_report(run)))
    except (ObjectMissing, ValidationError):  # of another version
        return None


def _number(value: Any) -> float:
    """What is no number was written as null."""
    return float(value) if isinstance(value, int | float) else math.nan
