"""A model that learned from cleaned, balanced and copied rows of one language, by a weighted loss, on two ranks.

What a fast test could not show: that the steps, the loss, the metrics by language and the prediction fit together.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from eagleray.data.formats import SourceRow
from eagleray.flow.predict import predict
from eagleray.store.objects import open_storage
from tests.support import tiny_models
from tests.support.gloo import GlooWorkers
from tests.support.training import document, train, write_reviews


def test_a_run_with_every_step(gloo_workers: Callable[[int], GlooWorkers], tmp_path: Path) -> None:
    plain = tmp_path / "plain.jsonl"
    write_reviews(plain, num_rows=120)
    rows = [json.loads(line) for line in plain.read_text(encoding="utf-8").splitlines()]
    rows = [row for number, row in enumerate(rows) if row["label"] == "good" or number % 4 == 0]
    dressed = [
        {**row, "text": f"<p>{row['text']}</p>\n", "lang": "de" if number % 2 == 0 else "en"}
        for number, row in enumerate(rows)
    ]
    source = tmp_path / "dressed.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in dressed), encoding="utf-8")
    wanted = document(
        tiny_models.save_encoder(tmp_path / "encoder"),
        source,
        data={
            "test_fraction": 0.3,
            "language": "lang",
            "train_languages": ["en"],
            "clean": {"html": True, "whitespace": True},
            "balance": {"type": "oversample"},
            "augment": {"steps": [{"type": "swap"}], "share": 0.5},
        },
        train={"epochs": 6, "learning_rate": 5e-3, "loss": {"type": "focal", "class_weights": "balanced"}},
        scale={"num_workers": 2},
    )

    trained = train(gloo_workers(2), wanted, tmp_path / "storage", tmp_path / "cache")

    measured = trained.outcome["metrics"]
    assert set(measured["validation"]["per_language"]) == {"en"}
    told = measured["test"]["per_language"]
    assert set(told) == {"de", "en"}
    accuracy = sum(each["rows"] * each["accuracy"] for each in told.values()) / sum(
        each["rows"] for each in told.values()
    )
    assert measured["test"]["accuracy"] == pytest.approx(accuracy)
    assert accuracy > 0.9, "a toy task that was not learned shows nothing"
    objects = open_storage(str(tmp_path / "storage"))
    answers = [
        list(predict(objects, trained.run, (SourceRow({"text": row["text"]}, "") for row in given)))
        for given in (dressed, [{"text": f"{row['text']}  "} for row in rows])
    ]
    assert answers[0] == answers[1]
