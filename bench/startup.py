"""How long from the command to the first optimizer step, beside what Ray and the imports cost at least?

Both are processes started by this script, in turn, and timed by the wall clock from the moment before they are
started. One untimed run of each comes first, so that files are in the page cache and the data is in the data cache.

ours   `eagleray train` on two workers at ZeRO-2 (MiniLM), three steps, without the baselines, which would
       run before the first step, and with small validation and test splits. Until the time that its step figures give
       for step 1.
floor  the least that any script on the same stack needs: `ray.init`, and a two-worker TorchTrainer (gloo) whose train
       function imports torch, transformers and deepspeed and does nothing with them. Until the last worker has them.

Printed are the seconds of each round, the medians and their ratio, and when a run of ours has come how far: its record
exists on the storage (checks, data and Ray are done), the first worker has built model and engine, step 1 is done.

    python bench/startup.py               # three rounds, six minutes on two cores
    python bench/startup.py --rounds 1
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

DOCUMENT = Path(__file__).parents[1] / "jobs" / "finetune" / "text-classification-zero2.yaml"
NUM_WORKERS = 2
LARGEST_RATIO = 1.3
STAGES = ("record", "assembled", "first step")


def main() -> None:
    arguments = _arguments()
    if arguments.floor:
        floor(arguments.floor)
        return
    print(machine())
    rounds = []
    with tempfile.TemporaryDirectory(prefix="eagleray-bench-") as scratch:
        for number in range(arguments.rounds + 1):
            directory = Path(scratch) / str(number)
            figures = {"ours": time_ours(directory / "ours", cache=Path(scratch) / "cache")}
            figures["floor"] = time_floor(directory / "floor")
            print(_row(number, figures), flush=True)
            if number:
                rounds.append(figures)
    print_summary(rounds)
    if arguments.json:
        arguments.json.write_text(json.dumps({"machine": machine(), "rounds": rounds}, indent=2), encoding="utf-8")


def time_ours(storage: Path, *, cache: Path) -> dict[str, float]:
    """Run `eagleray train` to its end; returns the seconds until each stage."""
    settings = (
        "train.max_steps=3",
        "train.log_every_steps=1",
        "train.baselines=false",
        "data.validation.fraction=0.01",
        "data.test_fraction=0.01",
        f"scale.num_workers={NUM_WORKERS}",
    )
    command = [str(Path(sys.executable).parent / "eagleray"), "train", str(DOCUMENT), "--storage", str(storage)]
    for setting in settings:
        command += ["--set", setting]
    started = _run(command, storage, environment={"EAGLERAY_CACHE": str(cache)})
    from eagleray.store import events, runs, steps
    from eagleray.store.objects import open_storage

    objects = open_storage(str(storage))
    [record] = runs.list_runs(objects)
    assembled = next(event for event in events.read_events(objects, record.run) if event.kind == "started")
    first = next(row for row in steps.read_steps(objects, record.run) if row["step"] == 1)
    at = (record.started_at, assembled.at, datetime.fromisoformat(first["time"]))
    return {stage: moment.timestamp() - started for stage, moment in zip(STAGES, at, strict=True)}


def time_floor(directory: Path) -> dict[str, float]:
    """Run the floor to its end; returns the seconds until its last worker had its imports."""
    started = _run([sys.executable, __file__, "--floor", str(directory)], directory, environment={})
    return {"imported": max(float(file.read_text(encoding="ascii")) for file in directory.glob("rank-*")) - started}


def floor(directory: Path) -> None:
    """What a script needs before it can build a model: Ray, two workers in one gloo group, the imports."""
    import ray
    from ray.train import RunConfig, ScalingConfig
    from ray.train.torch import TorchConfig, TorchTrainer

    ray.init(address="local", num_cpus=os.cpu_count(), log_to_driver=False)
    TorchTrainer(
        _imports,
        train_loop_config={"directory": str(directory)},
        torch_config=TorchConfig(backend="gloo"),
        scaling_config=ScalingConfig(num_workers=NUM_WORKERS, resources_per_worker={"CPU": 1}),
        run_config=RunConfig(name="floor", storage_path=str(directory / "ray")),
    ).fit()
    ray.shutdown()


def _imports(config: dict[str, Any]) -> None:
    import deepspeed
    import ray.train
    import torch
    import transformers

    assert torch and transformers and deepspeed
    rank = ray.train.get_context().get_world_rank()
    (Path(config["directory"]) / f"rank-{rank}").write_text(str(time.time()), encoding="ascii")


def _run(command: list[str], directory: Path, *, environment: dict[str, str]) -> float:
    """Run a command to its end with its output in `directory`; returns the time at which it was started."""
    directory.mkdir(parents=True)
    # No search for a CUDA compiler when DeepSpeed is imported, no usage statistics: both sides alike.
    fixed = {"DS_ACCELERATOR": "cpu", "DS_IGNORE_CUDA_DETECTION": "1", "RAY_USAGE_STATS_ENABLED": "0"}
    inherited = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    log = directory.with_suffix(".log")
    with log.open("wb") as stream:
        started = time.time()
        done = subprocess.run(
            command, env=inherited | fixed | environment, stdout=stream, stderr=subprocess.STDOUT, check=False
        )
    if done.returncode:
        sys.exit(f"{' '.join(command)} ended with {done.returncode}:\n{log.read_text(encoding='utf-8')[-4000:]}")
    return started


def print_summary(rounds: list[dict[str, dict[str, float]]]) -> None:
    """The medians over the rounds and their ratio."""
    stages = ", ".join(f"{stage} {median(each['ours'][stage] for each in rounds):.1f} s" for stage in STAGES)
    print(f"ours, medians: {stages}")
    ours, least = _median(rounds, _first_step), _median(rounds, _imported)
    ratios = [_first_step(each) / _imported(each) for each in rounds]
    print(
        f"command to first step {ours:.1f} s, floor {least:.1f} s: ratio {ours / least:.2f} "
        f"(at most {LARGEST_RATIO}), rounds {min(ratios):.2f} to {max(ratios):.2f}"
    )


def machine() -> str:
    """One line on where the figures are from."""
    packages = ("ray", "torch", "transformers", "deepspeed")
    return f"{os.cpu_count()} cores, " + ", ".join(f"{name} {version(name)}" for name in packages)


def _first_step(figures: dict[str, dict[str, float]]) -> float:
    return figures["ours"]["first step"]


def _imported(figures: dict[str, dict[str, float]]) -> float:
    return figures["floor"]["imported"]


def _median(rounds: list[dict[str, dict[str, float]]], value: Callable[[dict[str, dict[str, float]]], float]) -> float:
    return median(value(each) for each in rounds)


def _row(number: int, figures: dict[str, dict[str, float]]) -> str:
    name = f"round {number}" if number else "warm-up"
    stages = ", ".join(f"{stage} {seconds:.1f} s" for stage, seconds in figures["ours"].items())
    return f"{name}: ours {stages}; floor {_imported(figures):.1f} s"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures of each round there")
    parser.add_argument("--floor", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
