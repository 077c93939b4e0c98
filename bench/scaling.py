"""Does the paper model of docs/scaling.md say what four workers take, from what two take?

MiniLM on film sentences of one length, 4 samples a worker and step, one thread a worker, plain gloo processes on this
machine. With `n` workers on `p` cores, a step of ZeRO stage `s` is modelled as

    t(n) = (c + v x W x (n - 1) / n / B) x max(1, n / p)

where `c` is a worker's own time, `W` the bytes of the weights that learn, `v` how often they are sent (2 up to stage 2,
3 at stage 3) and `B` the bandwidth of gloo here: that of an all-reduce of `W` by two workers. `c` is what two workers'
step takes beyond it; then four are predicted, the all-reduce and the step, and measured.

    python bench/scaling.py --stages 0 2 3        # six minutes on two cores
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))  # the gloo workers are those of the tests

from bench import films, turns
from bench.peers import DOCUMENT
from tests.support.gloo import GlooWorkers

MICRO_BATCH_SIZE = 4
NUM_STEPS, NUM_WARMUP_STEPS = 16, 4
WEIGHT_BYTES = 4 * 22_713_986
SENT = {0: 2, 1: 2, 2: 2, 3: 3}


def main() -> None:
    arguments = _arguments()
    turns.hush()
    seconds: dict[int, dict[int, float]] = {stage: {} for stage in arguments.stages}
    reduced: dict[int, float] = {}
    with tempfile.TemporaryDirectory(prefix="eagleray-bench-") as scratch:
        _write_rows(Path(scratch))
        for size in (1, 2, 4):
            workers = GlooWorkers(size)
            try:
                reduced[size] = max(workers.run(all_reduce))
                for stage in arguments.stages:
                    seconds[stage][size] = step_s(workers, size, stage, Path(scratch))
                    print(f"{size} workers, stage {stage}: {seconds[stage][size]:.3f} s a step", flush=True)
            finally:
                workers.close()
    bandwidth = WEIGHT_BYTES / reduced[2]  # an all-reduce of two sends each byte twice by a half
    figures = {f"ZeRO-{stage}": told(SENT[stage], by_size, bandwidth) for stage, by_size in seconds.items()}
    figures["all-reduce"] = {
        "two_s": [reduced[2]],
        "gigabytes_per_s": [bandwidth / 1e9],
        "four_predicted_s": [_slower(4) * _sent_s(2, 4, bandwidth)],
        "four_s": [reduced[4]],
    }
    turns.finish(__file__, figures, arguments)


def told(times_sent: int, by_size: dict[int, float], bandwidth: float) -> dict[str, list[float]]:
    """The fit, the prediction and what was measured."""
    own_s = by_size[2] / _slower(2) - _sent_s(times_sent, 2, bandwidth)
    predicted = _slower(4) * (own_s + _sent_s(times_sent, 4, bandwidth))
    measured = {f"{name}_s": [by_size[size]] for name, size in {"one": 1, "two": 2, "four": 4}.items()}
    return {**measured, "own_s": [own_s], "four_predicted_s": [predicted]}


def _sent_s(times_sent: int, size: int, bandwidth: float) -> float:
    return times_sent * WEIGHT_BYTES * (size - 1) / size / bandwidth


def _slower(size: int) -> float:
    """Workers beyond the cores share them."""
    return max(1.0, size / (os.cpu_count() or 1))


def step_s(workers: GlooWorkers, size: int, stage: int, scratch: Path) -> float:
    """The median of a run's steps."""
    from eagleray.spec.document import load
    from tests.support.training import train

    overrides = [
        *films.overrides(scratch),
        "data.batching={type: plain}",
        f"train.max_steps={NUM_STEPS}",
        f"train.global_batch_size={MICRO_BATCH_SIZE * size}",
        f"train.micro_batch_size={MICRO_BATCH_SIZE}",
        "train.baselines=false",
        "train.log_every_steps=1",
        f"scale.num_workers={size}",
        f"scale.zero.stage={stage}",
    ]
    document = load(DOCUMENT, overrides=overrides).document
    trained = train(workers, document, scratch / f"{size}-{stage}", scratch / "cache")
    speeds = [row["samples_per_s"] for row in trained.steps if "loss" in row][NUM_WARMUP_STEPS:]
    return median(MICRO_BATCH_SIZE * size / each for each in speeds)


def all_reduce(group: Any) -> float:
    """In a worker: as many bytes as the gradients have; the median of five."""
    import torch
    from torch import distributed

    gradients, times = torch.ones(WEIGHT_BYTES // 4), []
    torch.set_num_threads(1)
    for _ in range(5):
        group.barrier()
        started = time.perf_counter()
        distributed.all_reduce(gradients)
        times.append(time.perf_counter() - started)
    return median(times)


def _write_rows(directory: Path) -> None:
    """Sentences of 12 to 14 words: what a step takes then depends on little but their number."""
    chosen = [row for row in films.sentences() if 12 <= len(row["text"].split()) <= 14]
    for name, part in {"train": chosen[:512], "validation": chosen[512:544]}.items():
        films.dump(directory / f"{name}.jsonl", part)


def _arguments() -> argparse.Namespace:
    parser = turns.parser(__doc__)
    parser.add_argument("--stages", type=int, nargs="+", choices=sorted(SENT), default=[0, 2, 3])
    return parser.parse_args()


if __name__ == "__main__":
    main()
