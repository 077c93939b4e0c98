"""Tasks whose batches are more than a row a sample: what comes of them does not depend on the workers.

Real processes, gloo and DeepSpeed: workers have unlike numbers of windows, and write unlike texts under ZeRO-3.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from eagleray.spec import reported
from tests.support import tiny_models
from tests.support.gloo import GlooWorkers
from tests.support.training import document, train

Workers = Callable[[int], GlooWorkers]


def rows_of(kind: str) -> list[dict[str, Any]]:
    """Short and long ones."""
    if kind == "token-classification":
        words = [["a", "film"] * (1 + number % 9) for number in range(30)]
        return [{"words": each, "tags": ["O", "B-film"] * (len(each) // 2)} for each in words]
    return [{"source": f"a film {number % 7}", "target": "dull " * (1 + number % 5)} for number in range(30)]


@pytest.mark.parametrize(
    ("task", "stage"),
    [
        pytest.param({"type": "token-classification", "overlap": 2}, 2, id="windows"),
        pytest.param({"type": "seq2seq", "max_new_tokens": 6, "generate_for": ["validation", "test"]}, 3, id="texts"),
    ],
)
def test_results_are_those_of_one_worker(
    gloo_workers: Workers, tmp_path: Path, task: dict[str, Any], stage: int
) -> None:
    is_seq2seq = task["type"] == "seq2seq"
    if is_seq2seq:
        model = tiny_models.save_seq2seq(tmp_path / "model")
    else:
        model = tiny_models.save_encoder(tmp_path / "model", dropout=0.0)
    data = tmp_path / "rows.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows_of(task["type"])))
    found = []
    for world_size in (1, 2):
        wanted = document(
            model,
            data,
            task=task,
            data={"max_length": 12, "test_fraction": 0.2},
            train={"micro_batch_size": 4},
            scale={"num_workers": world_size, "zero": {"stage": stage if world_size > 1 else 0}},
        )
        found.append(train(gloo_workers(world_size), wanted, tmp_path / f"storage-{world_size}", tmp_path / "cache"))

    one, two = found
    assert two.losses == pytest.approx(one.losses, rel=1e-4)
    for split in ("validation", "test"):
        measured = [_numbers(each.outcome["metrics"][split]) for each in found]
        assert measured[1] == pytest.approx(measured[0], rel=1e-3, abs=1e-3)
        if is_seq2seq:
            assert measured[0].keys() >= set(reported.GENERATED["text"])


def _numbers(metrics: dict[str, Any]) -> dict[str, float]:
    return {name: value for name, value in metrics.items() if isinstance(value, int | float)}
