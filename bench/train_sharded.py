"""How many samples a second do two sharded workers train, beside Ray Train with the Trainer and a bare DeepSpeed loop?

MiniLM on film sentences, 16 a worker and step, one thread a worker, fp32, gloo. In turn, each run a command from its
start to its end; the clock runs from the end of step 10 to that of the last.

ours   `eagleray train` on two workers under its embedded Ray, by the times that its step figures have.
ray    Ray Train, the Trainer of transformers with DeepSpeed at the same stage, its length sampling and the callback
       that reports to Ray, by the times of a callback of the first worker. `ray-plain` is the same in random order, the
       Trainer's default.
bare   `deepspeed.initialize`, `engine(...)`, `backward`, `step` in two gloo processes, over the batches that ours makes
       and each rank has in memory.

    python bench/train_sharded.py --zero-stage 2                 # three rounds, nine minutes on two cores
    python bench/train_sharded.py --steps 20 --rounds 1          # does it run?
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))  # the gloo workers are those of the tests

from bench import deepspeed_loop, films, peers, turns
from bench.peers import DOCUMENT, MICRO_BATCH_SIZE
from tests.support.gloo import GlooWorkers

NUM_WORKERS = 2
BATCH_SIZE = NUM_WORKERS * MICRO_BATCH_SIZE
WARMUP_STEPS = 10
SAMPLING = {"ray": "group_by_length", "ray-plain": "random"}


def main() -> None:
    arguments = _arguments()
    if arguments.child:
        config = json.loads(arguments.child)
        peers.fit(train_by_ray, config, num_workers=NUM_WORKERS, storage_path=f"{config['directory']}/ray")
        return
    with tempfile.TemporaryDirectory(prefix="eagleray-bench-", ignore_cleanup_errors=True) as scratch:
        directory = Path(scratch)
        films.write(directory, train=arguments.steps * BATCH_SIZE, validation=BATCH_SIZE)
        rows = films.read(directory / "train.jsonl")
        films.dataset(rows, peers.encoder()[1], max_length=128).save_to_disk(str(directory / "tokenised"))
        takers = {name: _taker(name, directory, arguments) for name in arguments.contenders}
        figures = turns.take(takers, rounds=arguments.rounds)
    turns.finish(__file__, figures, arguments, steps=arguments.steps)


def by_ours(directory: Path, number: int, arguments: argparse.Namespace) -> float:
    """Samples a second of `eagleray train`."""
    from eagleray.store import runs, steps
    from eagleray.store.objects import open_storage

    storage = directory / f"ours-{number}"
    command = [str(Path(sys.executable).parent / "eagleray"), "train", str(DOCUMENT), "--storage", str(storage)]
    command += [word for setting in _settings(directory, arguments) for word in ("--set", setting)]
    turns.run(command, directory / f"ours-{number}.log", environment={"EAGLERAY_CACHE": str(directory / "cache")})
    objects = open_storage(str(storage))
    [record] = runs.list_runs(objects)
    return _speed({row["step"]: _seconds(row["time"]) for row in steps.read_steps(objects, record.run)})


def by_ray(name: str, directory: Path, number: int, arguments: argparse.Namespace) -> float:
    """Samples a second of the Trainer under Ray Train."""
    place = directory / f"{name}-{number}"
    place.mkdir()
    config = {
        "directory": str(place),
        "stage": arguments.zero_stage,
        "steps": arguments.steps,
        "sampling": SAMPLING[name],
    }
    command = [sys.executable, __file__, "--child", json.dumps(config)]
    turns.run(command, directory / f"{name}-{number}.log", environment={})
    lines = (place / "told.jsonl").read_text(encoding="utf-8").splitlines()
    return _speed(dict(json.loads(line) for line in lines))


def train_by_ray(config: dict[str, Any]) -> None:
    """In a worker."""
    import ray.train
    from datasets import load_from_disk
    from ray.train.huggingface.transformers import RayTrainReportCallback, prepare_trainer
    from transformers import TrainerCallback

    directory, is_first = Path(config["directory"]), ray.train.get_context().get_world_rank() == 0

    class Tells(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **more: Any) -> None:
            if is_first:
                with (directory / "told.jsonl").open("a", encoding="utf-8") as file:
                    file.write(json.dumps([state.global_step, time.time()]) + "\n")

    trainer = peers.trainer(
        load_from_disk(str(directory.parent / "tokenised")),
        callbacks=[Tells()],
        stage=config["stage"],
        max_steps=config["steps"],
        train_sampling_strategy=config["sampling"],
        save_strategy="no",
    )
    trainer.add_callback(RayTrainReportCallback())
    prepare_trainer(trainer).train()


def by_bare(directory: Path, number: int, arguments: argparse.Namespace) -> float:
    """Samples a second of a loop on DeepSpeed, by the slower worker."""
    workers = GlooWorkers(NUM_WORKERS)
    try:
        told = workers.run(loop, _settings(directory, arguments), str(directory / "cache"))
    finally:
        workers.close()
    return min(_speed(each) for each in told)


def loop(group: Any, settings: list[str], cache: str) -> dict[int, float]:
    """In a worker: when it had done which step."""
    import torch

    from eagleray.model import quiet
    from eagleray.spec.document import load
    from eagleray.train import inputs

    quiet.silence()
    torch.set_num_threads(1)
    spec = load(DOCUMENT, overrides=settings).document.spec
    loaded = inputs.load(spec, cache_dir=Path(cache))
    ready = deepspeed_loop.batches(spec, loaded, rank=group.rank, world_size=NUM_WORKERS)
    engine = deepspeed_loop.engine(spec, loaded, world_size=NUM_WORKERS)
    told = {}
    for step, batch in enumerate(ready, start=1):
        engine.backward(engine(**batch).loss)
        engine.step()
        told[step] = time.time()
    return told


def _settings(directory: Path, arguments: argparse.Namespace) -> list[str]:
    return [
        *films.overrides(directory),
        "data.max_length=128",
        "train.epochs=1",
        f"train.global_batch_size={BATCH_SIZE}",
        f"train.micro_batch_size={MICRO_BATCH_SIZE}",
        "train.baselines=false",
        f"scale.num_workers={NUM_WORKERS}",
        f"scale.zero.stage={arguments.zero_stage}",
    ]


def _taker(name: str, directory: Path, arguments: argparse.Namespace) -> Any:
    measures = {"ours": by_ours, "bare": by_bare}
    if name in measures:
        return lambda number: {"samples_per_s": measures[name](directory, number, arguments)}
    return lambda number: {"samples_per_s": by_ray(name, directory, number, arguments)}


def _speed(ended: dict[int, float]) -> float:
    last = max(ended)
    return (last - WARMUP_STEPS) * BATCH_SIZE / (ended[last] - ended[WARMUP_STEPS])


def _seconds(time_text: str) -> float:
    return datetime.fromisoformat(time_text).timestamp()


def _arguments() -> argparse.Namespace:
    parser = turns.parser(__doc__, rounds=3)
    names = ["ours", "ray", "ray-plain", "bare"]
    parser.add_argument("--contenders", nargs="+", choices=names, default=names)
    parser.add_argument("--zero-stage", type=int, choices=[0, 1, 2, 3], default=2)
    parser.add_argument("--steps", type=int, default=50, help="of a run (default: %(default)s)")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
