"""How long from the command to the first optimizer step, beside the usual way and what Ray and the imports cost?

Each is a process started by this script, in turn, and timed by the wall clock from the moment before it is started.
One untimed run of each comes first, so that files are in the page cache and the data is in the data cache.

ours   `eagleray train` on two workers at ZeRO-2 (MiniLM), three steps, without the baselines, which would
       run before the first step, and with small validation and test splits. Until the time that its step figures give
       for step 1; beside it when its record was on the storage (checks, data and Ray are done) and the first worker had
       built model and engine.
ray    Ray Train with two workers and the Trainer of transformers at ZeRO-2, over 320 sentences, which take a worker
       20 ms to tokenise. Until the first worker's callback hears of step 1.
floor  the least that any script on the same stack needs: `ray.init`, and a two-worker TorchTrainer (gloo) whose train
       function imports torch, transformers and deepspeed and does nothing with them. Until the last worker has them.

    python bench/startup.py               # three rounds, eight minutes on two cores
    python bench/startup.py --rounds 1
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench import films, peers, turns

DOCUMENT = Path(__file__).parents[1] / "jobs" / "finetune" / "text-classification-zero2.yaml"
NUM_WORKERS = 2


def main() -> None:
    arguments = _arguments()
    if arguments.child:
        name, directory = arguments.child
        peers.fit(CHILDREN[name], {"directory": directory}, num_workers=NUM_WORKERS, storage_path=f"{directory}/ray")
        return
    with tempfile.TemporaryDirectory(prefix="eagleray-bench-") as scratch:
        films.write(Path(scratch), train=320)
        takers = {name: _taker(name, Path(scratch)) for name in arguments.contenders}
        for take in takers.values():
            take(0)
        figures = turns.take(takers, rounds=arguments.rounds)
    turns.finish(__file__, figures, arguments)


def time_ours(scratch: Path, number: int) -> dict[str, float]:
    """Run `eagleray train` to its end; returns the seconds until each stage."""
    from eagleray.store import events, runs, steps
    from eagleray.store.objects import open_storage

    settings = (
        "train.max_steps=3",
        "train.log_every_steps=1",
        "train.baselines=false",
        "data.validation.fraction=0.01",
        "data.test_fraction=0.01",
        f"scale.num_workers={NUM_WORKERS}",
    )
    storage = scratch / f"ours-{number}"
    command = [str(Path(sys.executable).parent / "eagleray"), "train", str(DOCUMENT), "--storage", str(storage)]
    command += [word for setting in settings for word in ("--set", setting)]
    log = scratch / f"ours-{number}.log"
    started = turns.run(command, log, environment={"EAGLERAY_CACHE": str(scratch / "cache")})
    objects = open_storage(str(storage))
    [record] = runs.list_runs(objects)
    assembled = next(event for event in events.read_events(objects, record.run) if event.kind == "started")
    first = next(row for row in steps.read_steps(objects, record.run) if row["step"] == 1)
    return {
        "first_step_s": datetime.fromisoformat(first["time"]).timestamp() - started,
        "record_s": record.started_at.timestamp() - started,
        "assembled_s": assembled.at.timestamp() - started,
    }


def time_child(name: str, scratch: Path, number: int) -> dict[str, float]:
    """Run a script on Ray Train to its end; returns the seconds until its last worker had come so far."""
    directory = scratch / f"{name}-{number}"
    directory.mkdir()
    command = [sys.executable, __file__, "--child", name, str(directory)]
    started = turns.run(command, scratch / f"{name}-{number}.log", environment={})
    ended = max(float(file.read_text(encoding="ascii")) for file in directory.glob("rank-*"))
    return {QUANTITIES[name]: ended - started}


def imports(config: dict[str, Any]) -> None:
    """In a worker: what it needs before it can build a model."""
    import deepspeed
    import torch
    import transformers

    assert torch and transformers and deepspeed
    _note(config["directory"])


def trains(config: dict[str, Any]) -> None:
    """In a worker: three steps."""
    from ray.train.huggingface.transformers import RayTrainReportCallback, prepare_trainer
    from transformers import TrainerCallback

    class Notes(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **more: Any) -> None:
            if state.global_step == 1:
                _note(config["directory"])

    rows = films.read(Path(config["directory"]).parent / "train.jsonl")
    dataset = films.dataset(rows, peers.encoder()[1], max_length=128)
    trainer = peers.trainer(dataset, callbacks=[Notes()], stage=2, max_steps=3, save_strategy="no")
    trainer.add_callback(RayTrainReportCallback())
    prepare_trainer(trainer).train()


def _note(directory: str) -> None:
    import ray.train

    rank = ray.train.get_context().get_world_rank()
    (Path(directory) / f"rank-{rank}").write_text(str(time.time()), encoding="ascii")


def _taker(name: str, scratch: Path) -> Any:
    if name == "ours":
        return lambda number: time_ours(scratch, number)
    return lambda number: time_child(name, scratch, number)


CHILDREN = {"ray": trains, "floor": imports}
QUANTITIES = {"ray": "first_step_s", "floor": "imported_s"}


def _arguments() -> argparse.Namespace:
    parser = turns.parser(__doc__, rounds=3)
    names = ["ours", *CHILDREN]
    parser.add_argument("--contenders", nargs="+", choices=names, default=names)
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
