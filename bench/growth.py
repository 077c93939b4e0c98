"""How does cost grow with what there is more of? Each part is asked at several sizes, once each.

workers     Seconds a step of a tiny random encoder at ZeRO-2, a global batch of 64 with 1, 2 and 4 gloo
            workers (more than the cores, so that both waiting and sending show).
rows        Seconds to read, check, tokenise and cache so many made rows, in a process of its own.
trials      Seconds of Optuna's searcher as a sweep asks and tells it, for so many trials that do nothing.
versions    Seconds to list a model's versions, as `models show` does, of a registry on a directory: the least of three
            tries.
documents   Seconds of one pass of the operator's decisions over so many FineTunes, without the API server: the least of
            three tries.

`power` is that of the size by which the cost grows between two neighbours, at its steepest: 1 is linear.

    python bench/growth.py --parts trials documents
    python bench/growth.py --parts rows --largest 10000
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))  # the gloo workers are those of the tests

from bench import tokenising, turns
from bench.figures import slope
from tests.support import operated, tiny_models, versions
from tests.support.gloo import GlooWorkers

TRIES = 3
GLOBAL_BATCH = 64


def workers(size: int, scratch: Path) -> float:
    """A step's median, of 30."""
    from tests.support import training

    turns.hush()
    model, data = scratch / "model", scratch / "train.jsonl"
    if not model.exists():
        tiny_models.save_encoder(model)
        training.write_reviews(data, num_rows=2_400)
    each = GLOBAL_BATCH // size
    sections: dict[str, Any] = {
        "train": {"global_batch_size": GLOBAL_BATCH, "micro_batch_size": each, "baselines": False},
        "scale": {"num_workers": size, "zero": {"stage": 2}},
    }
    group = GlooWorkers(size)
    try:
        document = training.document(model, data, **sections)
        trained = training.train(group, document, scratch / f"{size}", scratch / "cache")
    finally:
        group.close()
    return median(GLOBAL_BATCH / row["samples_per_s"] for row in trained.steps if "loss" in row)


def rows(size: int, scratch: Path) -> float:
    """Ours of bench/tokenising.py."""
    file = scratch / f"{size}.jsonl"
    tokenising.write_rows(file, size)
    return tokenising.child("ours", file, Path(tempfile.mkdtemp(dir=scratch)))


def trials(size: int, scratch: Path) -> float:
    """Ask and tell."""
    from eagleray.spec.dimension import DimensionSpec
    from eagleray.spec.search import OptunaSearchSpec
    from eagleray.spec.sweep import ObjectiveSpec
    from eagleray.store.sweeps import Report, Trial
    from eagleray.tune.search import build

    space = {"a": DimensionSpec(log_uniform=(1e-6, 1e-1)), "b": DimensionSpec(uniform=(0.0, 1.0))}
    objectives = (ObjectiveSpec(metric="loss", mode="min"),)
    searcher = build(OptunaSearchSpec(type="optuna", seed=0), space, objectives=objectives)
    started = time.perf_counter()
    for number in range(size):
        params = searcher.ask(number, turn=number, known={})
        assert params is not None
        report = Report(1, {"loss": (params["b"] - 0.3) ** 2}, 0.0)
        searcher.tell(Trial(number, params, state="finished", reports=(report,)))
    return time.perf_counter() - started


def listed_versions(size: int, scratch: Path) -> float:
    """Records that are written straight to their places: each claim of a number lists all, so 10,000 take long."""
    from eagleray.store import paths, records, registry
    from eagleray.store.objects import open_storage

    objects = open_storage(str(scratch / f"storage-{size}"))
    for number in range(1, size + 1):
        objects.put(paths.claim("demo", number), b"{}")
        objects.put(paths.version_record("demo", number), records.dump(versions.version_record("demo", number)))
    return _least(lambda: registry.versions(objects, "demo"))


def documents(size: int, scratch: Path) -> float:
    """From each object, as it is seen, to what would be done for it."""
    from eagleray.kube import plan, wanted

    owners = [operated.fine_tune(f"demo-{number}") for number in range(size)]
    seen = [(owner, operated.there(owner=owner)) for owner in owners]

    def decide() -> None:
        for owner, observed in seen:
            plan.plan(wanted.run(owner), observed, operated.NOW)

    return _least(decide)


def _least(work: Callable[[], object]) -> float:
    times = []
    for _ in range(TRIES):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return min(times)


PARTS: dict[str, tuple[Callable[[int, Path], float], tuple[int, ...]]] = {
    "workers": (workers, (1, 2, 4)),
    "rows": (rows, (1_000, 10_000, 100_000, 1_000_000)),
    "trials": (trials, (10, 100, 1_000)),
    "versions": (listed_versions, (1, 10, 100, 1_000, 10_000)),
    "documents": (documents, (1, 10, 100, 1_000)),
}


def main() -> None:
    arguments = _arguments()
    figures: dict[str, dict[str, list[float]]] = {}
    for part in arguments.parts:
        measure, sizes = PARTS[part]
        chosen = [size for size in sizes if size <= arguments.largest]
        with tempfile.TemporaryDirectory(prefix="eagleray-bench-") as scratch:
            seconds = []
            for size in chosen:
                seconds.append(measure(size, Path(scratch)))
                print(f"{part}, {size:,}: {seconds[-1]:.4g} s", flush=True)
        name = "ours" if len(arguments.parts) == 1 else part
        asked = [float(size) for size in chosen]
        figures[name] = {"power": [slope(chosen, seconds)], "size": asked, "seconds": seconds}
    turns.finish(__file__, figures, arguments)


def _arguments() -> argparse.Namespace:
    parser = turns.parser(__doc__)
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--largest", type=int, default=10**9, help="leave larger sizes out")
    return parser.parse_args()


if __name__ == "__main__":
    main()
