"""A worker that runs out of memory: the run starts again with half the micro batch.

On a real Ray and a real model: a failed allocation is real only where tensors are too large for what is already held.
"""

from __future__ import annotations

import json
from pathlib import Path

import psutil
import pytest

from eagleray.spec.document import dump
from eagleray.store import events
from eagleray.store.objects import open_storage
from eagleray.train.run import fine_tune
from tests.ray.watching import Watcher
from tests.support import demo_packages
from tests.support.training import document

LONG = "the cast is a joy to watch and the plot never stops to think about where it might go next " * 4


@pytest.mark.models
@pytest.mark.slow  # two starts of Ray Train with a real model
def test_starts_again_at_half(ray_session: None, tmp_path: Path) -> None:
    source = demo_packages.require(demo_packages.ENCODER)
    data = tmp_path / "rows.jsonl"
    data.write_text(
        "".join(json.dumps({"text": f"{number} {LONG}", "label": "ab"[number % 2]}) + "\n" for number in range(320)),
        encoding="utf-8",
    )
    objects = open_storage(str(tmp_path / "storage"))

    def forbid_more_memory() -> None:
        [worker] = [each for each in psutil.Process().children(recursive=True) if "RayTrainWorker" in each.name()]
        worker.rlimit(psutil.RLIMIT_AS, (worker.memory_info().rss, psutil.RLIM_INFINITY))

    watcher = Watcher(at={0: forbid_more_memory})
    wanted = document(
        Path(source),
        data,
        model={"source": source},
        data={"max_length": 64},
        train={"max_steps": 6, "global_batch_size": 128, "micro_batch_size": 128},
        scale={"num_workers": 1, "cpus_per_worker": 1.0},
    )
    record = fine_tune(wanted, text=dump(wanted), storage=objects.uri, cache_dir=tmp_path / "cache", observer=watcher)

    told = events.read_events(objects, record.run)
    assert [event.fields["micro_batch_size"] for event in told if event.kind == "started"] == [128, 64]
    assert [event.fields["reason"] for event in told if event.kind == "restarted"] == ["out_of_memory"]
    assert (record.phase, record.restarts) == ("succeeded", 1)
    assert [event.fields["micro_batch_limit"] for event in told if event.kind == "restarted"] == [64]
