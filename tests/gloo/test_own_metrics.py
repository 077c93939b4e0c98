"""A metric of the document's own ranks checkpoints and stops training, with the same value from one worker and three.

Real processes: the rows of all workers come to the first, and what fails there ends the run at each.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from eagleray.spec.finetune import FineTune
from tests.support import tiny_models
from tests.support.gloo import GlooWorkers
from tests.support.training import GlooRun, document, train, write_reviews

Workers = Callable[[int], GlooWorkers]

FUNCTIONS = """
def place(said, true):
    wrong = [number for number, (one, other) in enumerate(zip(said, true)) if one != other]
    return sum(wrong) / len(true)


def fails(said, true):
    raise KeyError("nothing")
"""


def judged_by(function: str, scratch: Path, *, world_size: int) -> FineTune:
    model = scratch / "model"
    if not model.exists():
        tiny_models.save_encoder(model, dropout=0.0)
        write_reviews(scratch / "rows.jsonl", num_rows=60)
        (scratch / "functions.py").write_text(FUNCTIONS)
    by: dict[str, Any] = {"metric": "place", "mode": "min"}
    metric = {"name": "place", "type": "function", "source": f"{scratch}/functions.py:{function}"}
    train = {"epochs": 2, "evaluate_every_steps": 2, "micro_batch_size": 4}
    plain = document(model, scratch / "rows.jsonl", data={"test_fraction": 0.3}, train=train)
    # The names of metrics are checked together with them, so all come at once.
    spec = plain.spec.model_dump(mode="json") | {
        "metrics": [metric],
        "checkpoint": {"best_by": by},
        "scale": {"num_workers": world_size},
    }
    spec["train"]["early_stopping"] = {**by, "patience": 9}
    return FineTune.model_validate_json(json.dumps({**plain.model_dump(mode="json"), "spec": spec}))


def test_it_ranks_and_stops_the_same_from_any_number_of_workers(gloo_workers: Workers, tmp_path: Path) -> None:
    found = [
        train(
            gloo_workers(size), judged_by("place", tmp_path, world_size=size), tmp_path / f"s{size}", tmp_path / "cache"
        )
        for size in (1, 3)
    ]

    one, three = (each.outcome for each in found)
    assert three["best_step"] == one["best_step"]
    for split in ("validation", "test"):
        assert three["metrics"][split]["place"] == pytest.approx(one["metrics"][split]["place"])


def test_a_failure_is_told_by_every_worker(gloo_workers: Workers, tmp_path: Path) -> None:
    wanted = judged_by("fails", tmp_path, world_size=2)

    kind, message = GlooRun(tmp_path / "storage", tmp_path / "cache").error(gloo_workers(2), wanted)

    assert kind == "UserError"
    assert message.startswith("spec.metrics[0]: place raised KeyError: 'nothing' (functions.py:8)")
