"""What a run really leaves is enough to find its troubles by: a rate far too high, labels that were exchanged."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from eagleray.report import history
from eagleray.report.diagnosis.run import diagnose
from eagleray.report.history import History
from eagleray.report.run import render
from eagleray.store import runs
from eagleray.store.objects import open_storage
from tests.support import tiny_models
from tests.support.gloo import GlooWorkers
from tests.support.training import document, train, write_reviews

Workers = Callable[[int], GlooWorkers]


@pytest.fixture
def trained(gloo_workers: Workers, tmp_path: Path) -> Callable[..., History]:
    """A run of one worker; its driver would have written the metrics into the record."""

    def trained(data: Path, /, **sections: Any) -> History:
        wanted = document(tiny_models.save_encoder(tmp_path / "encoder"), data, **sections)
        done = train(gloo_workers(1), wanted, tmp_path / "storage", tmp_path / "cache")
        objects = open_storage(str(tmp_path / "storage"))
        record = runs.read(objects, done.run).model_copy(update={"metrics": done.outcome["metrics"]})
        return replace(history.read(objects, record), document=wanted.model_dump(mode="json"))

    return trained


def _reviews(path: Path, *, num_rows: int, exchanged: tuple[int, ...] = ()) -> Path:
    write_reviews(path, num_rows=num_rows)
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    for number in exchanged:
        rows[number]["label"] = {"good": "bad", "bad": "good"}[rows[number]["label"]]
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return path


def test_labels_that_were_exchanged(trained: Callable[..., History], tmp_path: Path) -> None:
    validation = _reviews(tmp_path / "validation.jsonl", num_rows=40, exchanged=(7, 30))

    found = trained(
        _reviews(tmp_path / "reviews.jsonl", num_rows=240, exchanged=(11, 40)),
        data={"validation": {"file": str(validation)}},
        train={"epochs": 8, "learning_rate": 5e-3, "global_batch_size": 4, "schedule": {"type": "constant"}},
        checkpoint={"every_steps": 1000},  # one evaluation, of a model that is sure
    )

    (finding,) = [each for each in diagnose(found) if "of validation may have a wrong label" in each.what]
    assert finding.what == "2 rows of validation may have a wrong label"
    assert "validation.jsonl:8" in finding.evidence
    assert "validation.jsonl:31" in finding.evidence
    assert [each.severity for each in diagnose(found) if each.severity == "problem"] == []
    assert 'id="layers"' in render(found)
    in_training = next(each for each in found.mistakes if each.split == "train")
    assert {each.index for each in in_training.mistakes[:4]} > {11, 40}
    assert in_training.step == 120, "the last one of the second epoch"


def test_a_rate_that_is_far_too_high(trained: Callable[..., History], tmp_path: Path) -> None:
    found = trained(_reviews(tmp_path / "reviews.jsonl", num_rows=90), train={"epochs": 4, "learning_rate": 30.0})

    assert diagnose(found)[0].severity == "problem"
    assert "lower train.learning_rate" in diagnose(found)[0].advice.lower()
