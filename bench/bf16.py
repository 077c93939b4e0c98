"""How much faster does ours train in bf16 on a CPU that has it, at the same score?

MiniLM on film sentences, one gloo worker without Ray, one epoch, in turn with fp32; another seed each round. A CPU has
bf16 where /proc/cpuinfo names avx512_bf16 or amx_bf16; without, the script says so and is skipped (status 77). `matmul`
is one matrix product as the model has them, with as many threads: what the CPU itself gains is the limit.

    python bench/bf16.py                        # three rounds, eight minutes on two cores
    python bench/bf16.py --rows 320 --rounds 1  # does it run?
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

PRECISIONS = ("bf16", "fp32")
SHAPE = (1024, 384, 1536)  # tokens of a batch, MiniLM's width, that of its feed-forward layer
NUM_WARMUP_STEPS = 5


def main() -> None:
    arguments = _arguments()
    flags = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    found = [name for name in ("amx_bf16", "avx512_bf16") if name in flags]
    if not found:
        turns.skip("this CPU has no instructions for bf16 (avx512_bf16, amx_bf16): there is nothing to gain")
    turns.hush()
    workers = GlooWorkers(1)
    try:
        with tempfile.TemporaryDirectory(prefix="eagleray-bench-") as scratch:
            films.write(Path(scratch), train=arguments.rows, validation=64, test=arguments.test_rows)
            takers = {name: _taker(name, workers, Path(scratch), arguments) for name in PRECISIONS}
            figures = turns.take({**takers, "matmul": _multiply}, rounds=arguments.rounds)
    finally:
        workers.close()
    turns.finish(__file__, figures, arguments, instructions=found)


def _taker(name: str, workers: GlooWorkers, directory: Path, arguments: argparse.Namespace) -> Any:
    from eagleray.spec.document import load
    from tests.support.training import train

    def take(number: int) -> dict[str, float]:
        overrides = [
            *films.overrides(directory),
            f"data.test={directory / 'test.jsonl'}",
            "train.epochs=1",
            "train.baselines=false",
            "train.log_every_steps=1",
            f"train.precision={name}",
            f"train.seed={number}",
            "scale.num_workers=1",
            "scale.zero.stage=1",
        ]
        document = load(DOCUMENT, overrides=overrides).document
        trained = train(workers, document, directory / f"{name}-{number}", directory / "cache")
        speeds = [row["samples_per_s"] for row in trained.steps if "loss" in row][NUM_WARMUP_STEPS:]
        test = trained.outcome["metrics"]["test"]
        # Of all steps, each as long as its samples took.
        return {"samples_per_s": len(speeds) / sum(1 / each for each in speeds), "f1_points": 100 * test["f1_macro"]}

    return take


def _multiply(number: int) -> dict[str, float]:
    import torch

    torch.set_num_threads(os.cpu_count() or 1)
    rows, inner, columns = SHAPE
    found = {}
    for name, dtype in {"bf16": torch.bfloat16, "fp32": torch.float32}.items():
        left, right = torch.randn(rows, inner).to(dtype), torch.randn(inner, columns).to(dtype)
        times = []
        for _ in range(100):
            started = time.perf_counter()
            left @ right
            times.append(time.perf_counter() - started)
        found[f"{name}_per_s"] = 1 / median(times)
    return found


def _arguments() -> argparse.Namespace:
    parser = turns.parser(__doc__, rounds=3)
    parser.add_argument("--rows", type=int, default=1_600, help="training rows (default: %(default)s)")
    parser.add_argument("--test-rows", type=int, default=1_000, help="default: %(default)s")
    return parser.parse_args()


if __name__ == "__main__":
    main()
