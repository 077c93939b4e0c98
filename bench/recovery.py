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

Told of each are the seconds since the kill at which the surviving worker had ended, new workers were there, they
began to train, the first step was done, and the run was back; and the steps repeated.

    python bench/recovery.py                                     # three rounds, twenty minutes on two cores
    python bench/recovery.py --rounds 1 --contenders ours ddp    # five minutes
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench import films, peers, turns
from bench.peers import DOCUMENT, MICRO_BATCH_SIZE

CONTENDERS = ("ours", "sharded", "ddp")
NUM_WORKERS = 2
LEARNING_RATE = 5e-5
LOOK_INTERVAL_S = 0.05
PROCESS_INTERVAL_S = 0.25  # to look at all processes of the machine takes processor time
LONGEST_S = 600.0
STAGES = ("ended", "workers", "begun", "step", "back")


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
class Kill:
    """When a worker was killed, and what came of the workers then."""

    at: float
    ended_at: float  # the other worker
    started_at: float  # as many new ones


def main() -> None:
    arguments = _arguments()
    if arguments.ray:
        directory, name = arguments.ray
        train_by_ray(Path(directory), is_sharded=name == "sharded", every_steps=arguments.every)
        return
    with tempfile.TemporaryDirectory(prefix="eagleray-bench-", ignore_cleanup_errors=True) as scratch:
        setup = Setup(Path(scratch), arguments.every)
        write_rows(setup)
        takers = {name: _taker(setup, name) for name in arguments.contenders}
        figures = turns.take(takers, rounds=arguments.rounds)
    turns.finish(__file__, figures, arguments)


def write_rows(setup: Setup) -> None:
    """Draw rows for twice as many steps as there are, and prepare them for the Trainer."""
    num_train = 4 * setup.every_steps * NUM_WORKERS * MICRO_BATCH_SIZE
    films.write(setup.directory, train=num_train, validation=2 * MICRO_BATCH_SIZE)
    rows = films.read(setup.directory / "train.jsonl")
    films.dataset(rows, peers.encoder()[1], max_length=128).save_to_disk(str(setup.directory / "tokenised"))


def _taker(setup: Setup, name: str) -> Callable[[int], dict[str, float]]:
    def take(number: int) -> dict[str, float]:
        directory = setup.directory / f"{name}-{number}"
        return ours(setup, directory) if name == "ours" else by_ray(setup, directory, name)

    return take


def ours(setup: Setup, directory: Path) -> dict[str, float]:
    """Run `eagleray train`, kill a worker, and read from the storage what came of it."""
    from eagleray.store import events, runs, steps
    from eagleray.store.objects import open_storage

    settings = (
        *films.overrides(setup.directory),
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


def by_ray(setup: Setup, directory: Path, name: str) -> dict[str, float]:
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
    from ray.train import CheckpointConfig, FailureConfig

    peers.fit(
        _train,
        {"directory": str(directory), "is_sharded": is_sharded, "every_steps": every_steps},
        num_workers=NUM_WORKERS,
        storage_path=str(directory / "ray"),
        failure_config=FailureConfig(max_failures=5),
        checkpoint_config=CheckpointConfig(num_to_keep=2),
    )


def _train(config: dict[str, Any]) -> None:
    import ray.train
    from datasets import load_from_disk
    from ray.train.huggingface.transformers import RayTrainReportCallback, prepare_trainer
    from transformers import TrainerCallback

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

    trainer = peers.trainer(
        load_from_disk(str(directory.parent / "tokenised")),
        callbacks=[Tells()],
        stage=2 if config["is_sharded"] else None,
        max_steps=2 * config["every_steps"],
        learning_rate=LEARNING_RATE,
        train_sampling_strategy="group_by_length",
        save_strategy="steps",
        save_steps=config["every_steps"],
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
    inherited = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    log = directory / "log"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            command,
            cwd=directory,
            env=inherited | turns.QUIET | environment,
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


def _recovery(kill: Kill, reached: int, resumed: int, moments: tuple[float, ...]) -> dict[str, float]:
    stages = {f"{stage}_s": moment - kill.at for stage, moment in zip(STAGES, moments, strict=True)}
    return stages | {"repeated_steps": reached - resumed}


def _only(told: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    """What was told once since the kill."""
    found = [each for each in told if each["kind"] == kind]
    if len(found) != 1:
        sys.exit(f"{len(found)} times {kind!r} after one kill: something else ended workers, too")
    return found[0]


def _arguments() -> argparse.Namespace:
    parser = turns.parser(__doc__, rounds=3)
    parser.add_argument("--contenders", nargs="+", choices=CONTENDERS, default=CONTENDERS)
    parser.add_argument("--every", type=int, default=30, help="steps between checkpoints (default: %(default)s)")
    parser.add_argument("--ray", nargs=2, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
