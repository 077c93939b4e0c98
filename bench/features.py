"""How much faster is an epoch when a frozen model has run once, and its head learns from what it said?

Both sides train the head alone of jobs/finetune/text-classification-features.yaml, in one process without Ray, on the
same film sentences in the same order. An epoch's time is that of its steps: without evaluation and checkpoints.

whole     `method: {type: freeze}`: the frozen model runs in each step.
cached    `cache_features: true`: it has run once before the first step, which is told apart.

The demand is an epoch in at most a tenth of the time.

    python bench/features.py                # three epochs of 2,000 rows, two minutes on two cores
    python bench/features.py --rows 320     # does it run?
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parents[1]))  # the gloo workers are those of the tests

from bench import films, turns
from eagleray.model import quiet
from eagleray.spec.document import load
from eagleray.spec.finetune import FineTune
from tests.support.gloo import GlooWorkers
from tests.support.training import Trained, train

DOCUMENT = Path(__file__).parents[1] / "jobs" / "finetune" / "text-classification-features.yaml"
EPOCHS = 3
GOAL = 10.0


def main() -> None:
    arguments = _arguments()
    turns.hush()
    quiet.silence()
    workers = GlooWorkers(1)
    with tempfile.TemporaryDirectory(prefix="eagleray-bench-") as scratch:
        films.write(Path(scratch), test=200, validation=200, train=arguments.rows)
        times = {}
        for name, caches in (("whole", False), ("cached", True)):
            started = time.perf_counter()
            document = _document(Path(scratch), caches=caches)
            trained = train(workers, document, Path(scratch) / name, Path(scratch) / "cache")
            times[name] = median(epochs(trained, document.spec.train.global_batch_size))
            score = trained.outcome["metrics"]["test"]["f1_macro"]
            whole_s = time.perf_counter() - started
            print(f"{name:>7}: {times[name]:8.3f} s an epoch, {whole_s:6.1f} s in all, test F1 macro {score:.4f}")
    workers.close()
    print(f"{times['whole'] / times['cached']:.1f} times faster, {GOAL:.0f} demanded")
    turns.finish(__file__, {name: {"epoch_s": [seconds]} for name, seconds in times.items()}, arguments)


def epochs(trained: Trained, batch_size: int) -> list[float]:
    """The seconds that each epoch's steps took."""
    found: dict[int, float] = {}
    for row in trained.steps:
        if "loss" in row:
            found[row["epoch"]] = found.get(row["epoch"], 0.0) + batch_size / row["samples_per_s"]
    return list(found.values())


def _document(directory: Path, *, caches: bool) -> FineTune:
    overrides = [
        *films.overrides(directory),
        f"data.test={directory / 'test.jsonl'}",
        f"method.cache_features={str(caches).lower()}",
        f"train.epochs={EPOCHS}",
        "train.micro_batch_size=64",
        "train.log_every_steps=1",
        "scale.num_workers=1",
    ]
    return load(DOCUMENT, overrides=overrides).document


def _arguments() -> argparse.Namespace:
    parser = turns.parser(__doc__)
    parser.add_argument("--rows", type=int, default=2_000, help="training rows (default: %(default)s)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
