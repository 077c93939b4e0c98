"""Is it then as `eagleray plan` said?

counts       weights and those that learn, beside what lies in the model that the run has written
checkpoint   the size of one, beside the files of the last
memory       growth of the first worker's resident memory over its imports, at its peak, beside the plan's
time         `eagleray plan --probe` of the demo, then `eagleray train` of it: seconds from the command to its end

The first three come from one run of four steps each, for ZeRO 0, 2, 3, every weight learning and LoRA, with MiniLM and
with SmolLM2: two gloo workers without Ray, started anew for each run, so that none finds memory of the one before.

    python bench/plan_accuracy.py                                   # twenty minutes on two cores
    python bench/plan_accuracy.py --parts runs --models encoder --stages 2 --methods full     # does it run?
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))  # the gloo workers are those of the tests

from bench import turns
from tests.support.gloo import GlooWorkers
from tests.support.training import GlooRun

FINETUNE = ROOT / "jobs" / "finetune"
DOCUMENTS = {
    "encoder": FINETUNE / "text-classification-zero2.yaml",
    "decoder": FINETUNE / "causal-lm-lora-cpu.yaml",
}
METHODS = ("full", "lora")
STAGES = (0, 2, 3)
NUM_WORKERS = 2
MEMORY_APART, CHECKPOINT_APART, TIME_APART = 0.20, 0.05, 0.25
MIB = 2**20


@dataclass(frozen=True, slots=True)
class Pair:
    """What was said, and what was."""

    said: float
    was: float

    @property
    def apart(self) -> float:
        return self.said / self.was - 1


def main() -> None:
    arguments = _arguments()
    turns.hush()
    os.environ["DS_ACCELERATOR"] = "cpu"  # the workers' too
    figures: dict[str, dict[str, Pair]] = {}
    with tempfile.TemporaryDirectory(prefix="eagleray-bench-") as folder:
        if "runs" in arguments.parts:
            for model in arguments.models:
                for method in arguments.methods:
                    for stage in arguments.stages:
                        name = f"{model}, {method}, ZeRO-{stage}"
                        place = Path(folder) / f"{model}-{method}-{stage}"
                        figures[name] = compare_run(model, method, stage, place, cache=Path(folder) / "cache")
                        print(_row(name, figures[name]), flush=True)
        if "time" in arguments.parts:
            figures["demo"] = {"time": compare_time(Path(folder) / "demo")}
            print(_row("demo", figures["demo"]), flush=True)
    _print_worst(figures)
    plain = {name: {kind: asdict(pair) for kind, pair in pairs.items()} for name, pairs in figures.items()}
    turns.finish(__file__, {}, arguments, pairs=plain)


def compare_run(model: str, method: str, stage: int, place: Path, *, cache: Path) -> dict[str, Pair]:
    """Estimate a run, and make it."""
    from eagleray.flow.estimate import estimate
    from eagleray.spec.document import load
    from eagleray.spec.locations import absolute
    from eagleray.store import checkpoints
    from eagleray.train import budget
    from eagleray.train.resources import WorkerShape

    overrides = [
        f"method={{type: {method}}}",
        "train.max_steps=4",
        "train.global_batch_size=16",
        "train.micro_batch_size=4",
        "train.baselines=false",
        "checkpoint.every_steps=2",
        f"scale.num_workers={NUM_WORKERS}",
        f"scale.zero.stage={stage}",
    ]
    document = absolute(load(DOCUMENTS[model], overrides=overrides).document, DOCUMENTS[model].parent)
    said = estimate(
        document,
        cache_dir=cache,
        worker_bytes=None,
        shape=WorkerShape(num_cpus=1, num_gpus=0),
        on_progress=lambda stage, count: None,
    )
    run = GlooRun(place / "storage", cache)
    workers = GlooWorkers(NUM_WORKERS)
    try:
        grown = workers.run(train, run.job_fields(document))[0]
    finally:
        workers.close()
    newest = checkpoints.newest(run.objects, run.run)
    assert newest is not None
    written = _weights(place / "storage")
    learn_all = said.model.learning == said.model.parameters
    return {
        "weights": Pair(said.model.parameters if learn_all else said.model.learning, written),
        "checkpoint": Pair(said.checkpoint_bytes, sum(each.size_bytes for each in newest.files)),
        "memory": Pair(said.chosen.budget.peak - budget.PROCESS_BYTES, grown),
    }


def train(group: Any, job: dict[str, Any]) -> int:
    """In a worker: make the run, and return by how much its peak is above what the imports left."""
    import deepspeed  # noqa: F401
    import transformers  # noqa: F401

    from eagleray.train import session
    from eagleray.train.assembly import Job

    before = _memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # resets VmHWM, the peak of resident memory
    session.run(Job(**job), group)
    return _memory("VmHWM") - before


def compare_time(place: Path) -> Pair:
    """Probe the demo, and run it."""
    place.mkdir()
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    environment["EAGLERAY_CACHE"] = str(place / "cache")
    command = [str(Path(sys.executable).parent / "eagleray")]
    rest = [str(DOCUMENTS["encoder"]), "--storage", str(place / "storage")]
    plan = subprocess.run(
        [*command, "plan", *rest, "--probe", "--json"], env=environment, capture_output=True, text=True, check=True
    )
    started = time.perf_counter()
    subprocess.run([*command, "train", *rest, "--quiet"], env=environment, capture_output=True, check=True)
    return Pair(json.loads(plan.stdout)["duration"]["total_s"], time.perf_counter() - started)


def _weights(storage: Path) -> int:
    """Weights in the written model, or in its adapter."""
    from safetensors import safe_open

    written = [path for path in storage.rglob("*.safetensors") if path.stem in ("model", "adapter_model")]
    with safe_open(max(written, key=lambda path: path.stat().st_mtime), framework="pt") as file:
        return sum(math.prod(file.get_slice(name).get_shape()) for name in file.keys())  # noqa: SIM118


def _memory(key: str) -> int:
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) * 1024
    raise KeyError(key)


def _row(name: str, pairs: dict[str, Pair]) -> str:
    units = {"weights": (1, ""), "checkpoint": (MIB, " MiB"), "memory": (MIB, " MiB"), "time": (1, " s")}
    shown = [
        f"{kind} {pair.said / units[kind][0]:,.0f} said, {pair.was / units[kind][0]:,.0f}{units[kind][1]} was "
        f"({pair.apart:+.1%})"
        for kind, pair in pairs.items()
    ]
    return f"{name}: {'; '.join(shown)}"


def _print_worst(figures: dict[str, dict[str, Pair]]) -> None:
    bounds = {"weights": 0.0, "checkpoint": CHECKPOINT_APART, "memory": MEMORY_APART, "time": TIME_APART}
    for kind, bound in bounds.items():
        found = {name: pairs[kind].apart for name, pairs in figures.items() if kind in pairs}
        if found:
            name = max(found, key=lambda each: abs(found[each]))
            verdict = "reached" if abs(found[name]) <= bound else "NOT reached"
            print(f"{kind}: at most {abs(found[name]):.1%} apart ({name}); demanded {bound:.0%}: {verdict}")


def _arguments() -> argparse.Namespace:
    parser = turns.parser(__doc__)
    parser.add_argument("--parts", nargs="+", choices=("runs", "time"), default=["runs", "time"])
    parser.add_argument("--models", nargs="+", choices=list(DOCUMENTS), default=list(DOCUMENTS))
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--stages", nargs="+", type=int, choices=STAGES, default=list(STAGES))
    return parser.parse_args()


if __name__ == "__main__":
    main()
