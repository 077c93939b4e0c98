"""What a trial is measured by beside its metrics: the same at every rank, however the weights are sharded.

Real processes: only where DeepSpeed keeps the weights is seen what is counted of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from safetensors.torch import load_file

from eagleray.store import checkpoints
from tests.support import tiny_models
from tests.support.gloo import GlooWorkers
from tests.support.training import GlooRun, document, run_session, write_reviews

Workers = Callable[[int], GlooWorkers]


@pytest.mark.parametrize("stage", [0, 3])
def test_size_and_latency(gloo_workers: Workers, tmp_path: Path, stage: int) -> None:
    model = tiny_models.save_encoder(tmp_path / "model")
    write_reviews(tmp_path / "reviews.jsonl", num_rows=30)
    wanted = document(model, tmp_path / "reviews.jsonl", scale={"num_workers": 2, "zero": {"stage": stage}})
    run = GlooRun(tmp_path / "storage", tmp_path / "cache")
    job = replace(run.job(wanted), is_trial=True, footprint=("model_size_mb", "latency_ms"))

    first, second = gloo_workers(2).run(run_session, asdict(job), None)

    assert first == second
    measured = first["metrics"]["validation"]
    newest = checkpoints.newest(run.objects, run.run)
    assert newest is not None
    checkpoints.fetch(run.objects, newest, ["model.safetensors"], tmp_path / "exported")
    weights = load_file(tmp_path / "exported" / "model.safetensors")
    assert measured["model_size_mb"] == pytest.approx(sum(weight.nbytes for weight in weights.values()) / 1e6)
    assert 0.1 < measured["latency_ms"] < 1000  # some 2 ms on an idle core: neither seconds nor microseconds
    assert all(newest.metrics[name] == measured[name] for name in ("model_size_mb", "latency_ms"))
