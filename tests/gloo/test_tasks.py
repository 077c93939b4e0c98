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
    if kind == "text-classification":
        return [{"text": f"a film {number % 7}", "label": "ab"[number % 2]} for number in range(20)]
    if kind == "token-classification":
        words = [["a", "film"] * (1 + number % 9) for number in range(30)]
        return [{"words": each, "tags": ["O", "B-film"] * (len(each) // 2)} for each in words]
    return [{"source": f"a film {number % 7}", "target": "dull " * (1 + number % 5)} for number in range(30)]


@pytest.mark.parametrize(
    ("task", "stage"),
    [
        pytest.param({"type": "token-classification", "overlap": 2}, 2, id="windows"),
        pytest.param({"type": "multi-task"}, 2, id="several tasks"),
        pytest.param({"type": "multi-task"}, 3, id="several tasks, sharded"),
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
    data = _written(tmp_path, task["type"])
    shared: dict[str, Any] = {"test_fraction": 0.2}
    if task["type"] == "multi-task":
        task, shared = _with_members(task, tmp_path), {"train": None, "validation": {"fraction": 0.1}}
    found = []
    for world_size in (1, 2):
        wanted = document(
            model,
            data,
            task=task,
            data={"max_length": 12, **shared},
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


def _with_members(task: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Two tasks, of which the smaller comes more often than its rows say."""
    members = [
        {
            "name": kind[:4],
            "task": {"type": kind},
            "data": {"train": str(_written(folder, kind)), "validation": {"fraction": 0.2}, "test_fraction": 0.2},
        }
        for kind in ("text-classification", "token-classification")
    ]
    return {**task, "tasks": members, "mixing": {"type": "temperature", "temperature": 2.0}}


def _written(folder: Path, kind: str) -> Path:
    path = folder / f"{kind}.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows_of(kind)))
    return path


def _numbers(metrics: dict[str, Any]) -> dict[str, float]:
    return {name: value for name, value in metrics.items() if isinstance(value, int | float)}
