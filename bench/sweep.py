"""What does a sweep cost, and what does it find? Each part prints its figures and what they have to be.

prune        MiniLM on film sentences, 2,200 validation rows: the same 16 learning rates with `asha` and with `fifo`,
             once a seed. Steps are those that the workers wrote down.
wall         12 trials of one worker, some 5 s of training each: `eagleray sweep`, and Ray's documented pattern (a
             function of Tune that nests a TorchTrainer of one worker with TuneReportCallback), by the wall clock from
             the command to its end. As documented a trial's function takes a CPU and its worker another; beside it the
             best that can be set by hand: functions that take none, so that two trials run at once on two cores.
             `in-process`: Optuna and a plain loop, one trial after the other. Of ours also the time from a trial's end
             to the next one's first step.
bookkeeping  1,000 trials that do nothing: our board, log and searcher on Tune, and Tune alone.
search       Optuna and random search on a function of three keys, without training.
population   Population based training and fixed learning rates on a task whose best learning rate falls as it goes.
nested       20 trials of two workers, one after another: the memory of the driver and of each process of Ray's head as
             they go by.

    python bench/sweep.py                                  # all, an hour on two cores
    python bench/sweep.py --parts bookkeeping search population
    python bench/sweep.py --parts prune --seeds 0
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
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import psutil

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench import turns

HERE = Path(__file__).resolve()
DOCUMENT = HERE.parents[1] / "jobs" / "sweeps" / "lr-lora-asha.yaml"
SCRIPTS = Path(sys.executable).parent
NUM_TRIVIAL = 1000
NUM_WALL = 12
WALL_STEPS = 10
LOOK_INTERVAL_S = 2.0
COMES_AND_GOES = ("", "RayTrainWorker", "IDLE")
OF_THE_SWEEP = ("driver", "ResourceTrainable")
"""Processes that end with the sweep; all others are the head's."""
MOST_GROWTH = 0.02
PRUNED = {"fifo": "{type: fifo}", "asha": "{type: asha, grace_steps: 30, reduction_factor: 4}"}


def main() -> None:
    arguments = _arguments()
    if arguments.contend:
        CONTENDERS[arguments.contend](arguments)
        return
    figures: dict[str, dict[str, list[float]]] = {}
    raw: dict[str, Any] = {}
    for part in arguments.parts:
        if part == "wall":
            figures |= wall(arguments)
            continue
        raw[part] = PARTS[part](arguments)
    turns.finish(__file__, figures, arguments, **raw)


def prune(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """The same configurations with and without early stopping."""
    rows = []
    for seed in arguments.seeds:
        found = {}
        for name, scheduler in PRUNED.items():
            settings = (
                "train.max_steps=180",
                "train.evaluate_every_steps=30",  # at step 10 none has learned more than which label is more frequent
                "train.precision=bf16",
                f"train.seed={seed}",
                "method={type: full}",
                "data.validation.fraction=0.2",
                "sweep.space={train.learning_rate: {log_uniform: [1.0e-6, 1.0e-2]}}",
                f"sweep.search={{type: random, seed: {seed}}}",
                f"sweep.scheduler={scheduler}",
                "sweep.start_from=[]",
            )
            with _swept(settings) as sweep:
                best = sweep["best"]
                found[name] = {"steps": sweep["steps"], "metric": best["metric"], "params": best["params"]}
        row = {"seed": seed, **found, "share": found["asha"]["steps"] / found["fifo"]["steps"]}
        row["behind"] = 100 * (found["fifo"]["metric"] - found["asha"]["metric"])
        rows.append(row)
        print(
            f"prune, seed {seed}: asha {found['asha']['steps']} steps of {found['fifo']['steps']} "
            f"({row['share']:.0%}), best f1_macro {found['asha']['metric']:.4f} and {found['fifo']['metric']:.4f}",
            flush=True,
        )
    share, behind = (sum(row[name] for row in rows) / len(rows) for name in ("share", "behind"))
    print(f"prune: {share:.0%} of the steps (at most 40 %), {behind:+.2f} points behind (at most 1)", flush=True)
    return rows


def wall(arguments: argparse.Namespace) -> Any:
    """A sweep of small trials from the command to its end."""
    names = (*BY_RAY, "in-process")
    return turns.take({"ours": _wall_ours, **{name: _taker(name) for name in names}}, rounds=arguments.rounds)


def _taker(name: str) -> Callable[[int], dict[str, float]]:
    def take(number: int) -> dict[str, float]:
        started = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="eagleray-bench-") as directory:
            _contend(name, "--directory", directory)
        return {"seconds": time.monotonic() - started}

    return take


def _wall_ours(number: int) -> dict[str, float]:
    settings = (
        f"train.max_steps={WALL_STEPS}",
        f"train.evaluate_every_steps={WALL_STEPS}",
        "train.log_every_steps=1",
        "method={type: full}",
        "data.validation.fraction=0.01",
        "data.test_fraction=0.01",
        "sweep.space={train.learning_rate: {log_uniform: [1.0e-5, 1.0e-3]}}",
        "sweep.search={type: random}",
        "sweep.scheduler={type: fifo}",
        "sweep.start_from=[]",
        f"sweep.budget.trials={NUM_WALL}",
    )
    started = time.monotonic()
    with _swept(settings) as sweep:
        seconds = time.monotonic() - started
        trials = _timed(sweep["storage"], sweep["sweep"])
    gaps = [
        after["first_step"] - before["ended"]
        for process in {each["process"] for each in trials}
        for before, after in pairwise([each for each in trials if each["process"] == process])
    ]
    return {"seconds": seconds, "gap_s": median(gaps), "training_s": median(each["training_s"] for each in trials)}


def _timed(storage: str, run: str) -> list[dict[str, Any]]:
    """When each trial began to train and ended, and in which process, by their beginnings."""
    from eagleray.store import events, paths, records, sweeps
    from eagleray.store.lease import LeaseRecord
    from eagleray.store.objects import open_storage
    from eagleray.store.steps import read_steps

    told = events.read_events(open_storage(storage), run)
    ended = {event.fields["trial"]: event.at.timestamp() for event in told if event.kind == "trial-ended"}
    trials = sweeps.open_trials(storage, run)
    found = []
    for trial in sweeps.read(told).trials:
        moments = [datetime.fromisoformat(row["time"]).timestamp() for row in read_steps(trials, trial.run)]
        found.append(
            {
                "process": records.load(trials, paths.lease(trial.run, 1), LeaseRecord).holder.pid,
                "first_step": min(moments),
                "training_s": max(moments) - min(moments),
                "ended": ended[trial.number],
            }
        )
    return sorted(found, key=lambda each: each["first_step"])


def nested_by_ray(arguments: argparse.Namespace, *, num_cpus: float, at_once: int) -> None:
    """Ray's documented pattern for Tune over Train, with the same model, rows, steps and learning rates.

    `num_cpus` are those of a trial's function, which only waits.
    """
    import ray
    import ray.train
    from ray import tune
    from ray.train.torch import TorchConfig, TorchTrainer
    from ray.tune.integration.ray_train import TuneReportCallback

    ray.init(address="local", num_cpus=2, object_store_memory=200 * 2**20, log_to_driver=False, logging_level="ERROR")

    def drive(config: dict[str, Any]) -> None:
        TorchTrainer(
            _train_plainly,
            train_loop_config=config,
            torch_config=TorchConfig(backend="gloo"),
            scaling_config=ray.train.ScalingConfig(num_workers=1, resources_per_worker={"CPU": 1}),
            run_config=ray.train.RunConfig(
                name=f"trial-{tune.get_context().get_trial_id()}",
                storage_path=arguments.directory,
                callbacks=[TuneReportCallback()],
            ),
        ).fit()

    found = tune.Tuner(
        tune.with_resources(drive, {"CPU": num_cpus}),
        param_space={"learning_rate": tune.loguniform(1e-5, 1e-3)},
        tune_config=tune.TuneConfig(num_samples=NUM_WALL, max_concurrent_trials=at_once, metric="loss", mode="min"),
        run_config=tune.RunConfig(storage_path=arguments.directory, name="sweep", verbose=0),
    ).fit()
    if found.errors:
        raise SystemExit(f"{len(found.errors)} trials failed: {found.errors[0]}")


def in_one_process(arguments: argparse.Namespace) -> None:
    """Optuna and a loop: no Ray, no records, one trial after the other in a process that has all it imports."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study()
    study.optimize(lambda trial: _loss(trial.suggest_float("learning_rate", 1e-5, 1e-3, log=True)), n_trials=NUM_WALL)


def _train_plainly(config: dict[str, Any]) -> None:
    """The train function of Ray's pattern: as many steps as a trial of ours."""
    import ray.train

    ray.train.report({"loss": _loss(config["learning_rate"])})


def _loss(learning_rate: float) -> float:
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    from eagleray.model.sources import locate
    from eagleray.spec import document
    from eagleray.tasks import build
    from eagleray.train import inputs

    torch.set_num_threads(1)
    spec = document.load(DOCUMENT, overrides=["data.validation.fraction=0.01", "data.test_fraction=0.01"]).document.spec
    source = locate(spec.model.source)
    tokenizer = AutoTokenizer.from_pretrained(source)
    loaded = inputs.load(spec, cache_dir=Path(os.environ["EAGLERAY_CACHE"]))
    assert build(spec.task)
    model = AutoModelForSequenceClassification.from_pretrained(source, num_labels=2, dtype=torch.float32)
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate)
    size = spec.train.global_batch_size
    for step in range(WALL_STEPS):
        samples = loaded.data.train.samples(np.arange(step * size, (step + 1) * size))
        ids = [{"input_ids": sample["input_ids"].tolist()} for sample in samples]
        batch = tokenizer.pad(ids, return_tensors="pt")
        labels = torch.tensor([int(sample["label"]) for sample in samples])
        loss = model(**batch, labels=labels).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return float(loss.item())


def bookkeeping(arguments: argparse.Namespace) -> dict[str, float]:
    """Trials that do nothing, with our bookkeeping and without."""
    found = {}
    for name in ("bare", "board", "bare", "board"):
        with tempfile.TemporaryDirectory(prefix="eagleray-bench-") as directory:
            out = Path(directory) / "seconds"
            _contend(name, "--directory", directory)
            found.setdefault(name, []).append(float(out.read_text(encoding="utf-8")))
    figures = {name: min(seconds) for name, seconds in found.items()}
    more_ms = (figures["board"] - figures["bare"]) / NUM_TRIVIAL * 1e3
    print(
        f"bookkeeping: {NUM_TRIVIAL} trials in {figures['board']:.1f} s, with Tune alone {figures['bare']:.1f} s: "
        f"{more_ms:+.1f} ms a trial (at most 10)",
        flush=True,
    )
    return {**figures, "more_ms": more_ms}


def trivial_alone(arguments: argparse.Namespace) -> None:
    """Tune alone."""
    from ray import tune

    _start_ray()
    started = time.monotonic()
    tune.Tuner(
        tune.with_resources(_nothing(), {"CPU": 1}),
        param_space={"x": tune.uniform(0, 1)},
        tune_config=tune.TuneConfig(num_samples=NUM_TRIVIAL, reuse_actors=True, metric="loss", mode="min"),
        run_config=tune.RunConfig(
            storage_path=arguments.directory,
            name="sweep",
            verbose=0,
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
        ),
    ).fit()
    (Path(arguments.directory) / "seconds").write_text(str(time.monotonic() - started), encoding="utf-8")


def trivial_with_board(arguments: argparse.Namespace) -> None:
    """The same trials through our searcher, board and log."""
    _start_ray()
    started = time.monotonic()
    sweep = _toy_sweep(
        Path(arguments.directory),
        {
            "space": {"train.learning_rate": {"uniform": [0.0, 1.0]}},
            "search": {"type": "random"},
            "scheduler": {"type": "fifo"},
            "budget": {"trials": NUM_TRIVIAL},
        },
        _nothing(),
        total_steps=1,
    )
    (Path(arguments.directory) / "seconds").write_text(str(time.monotonic() - started), encoding="utf-8")
    assert len(sweep.trials) == NUM_TRIVIAL


def _nothing() -> Any:
    """A trial that has ended as soon as it has begun."""
    from ray import tune

    class Nothing(tune.Trainable):
        def setup(self, config: dict[str, Any], shared: Any = None) -> None:
            """Take what any trial is given."""

        def reset_config(self, new_config: dict[str, Any]) -> bool:
            """Be another trial."""
            return True

        def step(self) -> dict[str, Any]:
            """End."""
            metrics = {"metrics": {"loss": 0.5}, "step": 1, "seconds": 0.0, "loss": 0.5}
            return {**metrics, "state": "finished", "error": "", "done": True}

    return Nothing


def search(arguments: argparse.Namespace) -> dict[str, Any]:
    """How good a point is found in so many questions."""
    from eagleray.spec.dimension import DimensionSpec
    from eagleray.spec.search import OptunaSearchSpec, RandomSearchSpec
    from eagleray.spec.sweep import ObjectiveSpec
    from eagleray.store.sweeps import Report, Trial
    from eagleray.tune.search import build

    space = {
        "a": DimensionSpec(log_uniform=(1e-6, 1e-1)),
        "b": DimensionSpec(uniform=(0.0, 1.0)),
        "c": DimensionSpec(int_uniform=(1, 64)),
    }
    objectives = (ObjectiveSpec(metric="loss", mode="min"),)

    def loss(params: dict[str, Any]) -> float:
        return (
            (math.log10(params["a"]) + 3.2) ** 2 + 4 * (params["b"] - 0.3) ** 2 + (math.log2(params["c"]) - 3) ** 2 / 4
        )

    def best(spec: Any, num_trials: int) -> float:
        asked, lowest = build(spec, space, objectives=objectives), math.inf
        for number in range(num_trials):
            params = asked.ask(number, turn=number, known={})
            assert params is not None
            value = loss(params)
            lowest = min(lowest, value)
            asked.tell(Trial(number, params, state="finished", reports=(Report(1, {"loss": value}, 0.0),)))
        return lowest

    rows = [
        (best(OptunaSearchSpec(type="optuna", seed=seed), 30), best(RandomSearchSpec(type="random", seed=seed), 60))
        for seed in range(20)
    ]
    wins = sum(ours <= theirs for ours, theirs in rows)
    figures = {"optuna": median(each for each, _ in rows), "random": median(each for _, each in rows), "wins": wins}
    print(
        f"search: optuna with 30 trials {figures['optuna']:.4f}, random with 60 {figures['random']:.4f} (medians of 20 "
        f"seeds, lower is better); optuna at least as good in {wins} of 20",
        flush=True,
    )
    return figures


def population(arguments: argparse.Namespace) -> dict[str, float]:
    """A task made for a learning rate that changes."""
    with tempfile.TemporaryDirectory(prefix="eagleray-bench-") as directory:
        _contend("population", "--directory", directory)
        figures: dict[str, float] = json.loads((Path(directory) / "figures").read_text(encoding="utf-8"))
    print(
        f"population: {figures['pbt']:.2f} with {figures['changes']:.0f} changes, best fixed learning rate "
        f"{figures['fixed']:.2f} (must be lower), the same trials without changes {figures['fifo']:.2f}",
        flush=True,
    )
    return figures


def population_on_toy(arguments: argparse.Namespace) -> None:
    """Run the toy with and without changes; the best fixed learning rate is looked for by brute force."""
    from ray import tune
    from ray.train._internal.session import _TrainingResult

    _start_ray()
    steps = 100

    def gain(learning_rate: float, step: int) -> float:
        best = -1.0 - 4.0 * step / steps  # the best exponent falls from -1 to -5
        return max(0.0, 1.0 - abs(math.log10(learning_rate) - best))

    class Toy(tune.Trainable):
        """Its state is what it has gained so far."""

        def setup(self, config: dict[str, Any], shared: Any = None) -> None:
            """Begin a trial."""
            self.reset_config(config)

        def reset_config(self, new_config: dict[str, Any]) -> bool:
            """Begin another."""
            self._trial, self._rate = new_config["trial"], new_config["params"]["train.learning_rate"]
            self._at, self._gained, self._donor = 0, 0.0, None
            self._first = 0
            return True

        def step(self) -> dict[str, Any]:
            """Take five steps."""
            for _ in range(5):
                self._gained += gain(self._rate, self._at)
                self._at += 1
            life = {"run": f"{self._trial}-{self._first}-{self._rate}", "first_step": self._first}
            told = {"step": self._at, "metrics": {"loss": -self._gained}, "seconds": 0.0, "life": life}
            end = {"state": "finished", "error": "", "done": True} if self._at >= steps else {}
            params = {"train.learning_rate": self._rate}
            return {**told, "donor": self._donor, "params": params, **end}

        def save(self, checkpoint_dir: str | None = None) -> Any:
            """Name the state."""
            import pyarrow.fs

            name = f"{self._trial}/{self._at}/{self._gained}"
            checkpoint = tune.Checkpoint(name, filesystem=pyarrow.fs.LocalFileSystem())
            return _TrainingResult(checkpoint, metrics={"step": self._at})

        def restore(self, checkpoint_path: Any) -> None:
            """Take the state over."""
            trial, at, gained = checkpoint_path.checkpoint.path.split("/")
            self._donor = int(trial) if int(trial) != self._trial else None
            self._at, self._gained, self._first = int(at), float(gained), int(at)

    found = {}
    for name, scheduler in (
        ("pbt", {"type": "pbt", "every_steps": 5, "quantile": 0.25, "resample": 0.25, "seed": 1}),
        ("fifo", {"type": "fifo"}),
    ):
        sweep = _toy_sweep(
            Path(arguments.directory) / name,
            {
                "space": {"train.learning_rate": {"log_uniform": [1.0e-5, 1.0e-1]}},
                "search": {"type": "random", "seed": 1},
                "scheduler": scheduler,
                "budget": {"trials": 8},
            },
            Toy,
            total_steps=steps,
        )
        found[name] = max(-trial.reports[-1].metrics["loss"] for trial in sweep.trials)
        if name == "pbt":
            found["changes"] = sum(len(trial.changes) for trial in sweep.trials)
    rates = [10 ** (-5 + number / 100) for number in range(401)]
    found["fixed"] = max(sum(gain(rate, step) for step in range(steps)) for rate in rates)
    (Path(arguments.directory) / "figures").write_text(json.dumps(found), encoding="utf-8")


def _toy_sweep(directory: Path, section: dict[str, Any], trainable: Any, *, total_steps: int) -> Any:
    """Run trials of `trainable` through all that a sweep does in its driver; returns what the log says of them."""
    from eagleray.spec.checkpoint import BestBySpec
    from eagleray.spec.finetune import FineTune
    from eagleray.store import events, sweeps
    from eagleray.store.objects import open_storage
    from eagleray.train.recorder import BackgroundWriter
    from eagleray.train.resources import WorkerShape
    from eagleray.tune import capacity, proposals, tuner
    from eagleray.tune import search as searches
    from eagleray.tune.board import Board
    from eagleray.tune.life import Shared

    spec = {
        "model": {"source": "none"},
        "task": {"type": "text-classification"},
        "data": {"train": "none.jsonl"},
        "sweep": {**section, "objectives": [{"metric": "loss", "mode": "min"}]},
    }
    document = FineTune.model_validate_json(json.dumps({"kind": "FineTune", "metadata": {"name": "toy"}, "spec": spec}))
    sweep, scale, shape = document.spec.sweep, document.spec.scale, WorkerShape(num_cpus=1, num_gpus=0)
    assert sweep is not None
    plan = proposals.Plan(BestBySpec(metric="loss", mode="min"), 1, saves_each_evaluation=False, keep=1)
    objects = open_storage(str(directory / "storage"))
    appender, writer = events.Writer(objects, "toy-0001"), BackgroundWriter(lambda: None, interval_s=0.2)
    board = Board(
        document,
        plan,
        searches.build(sweep.search, sweep.space, objectives=sweep.objectives),
        log=sweeps.Log(),
        points=(),
        write=lambda event: writer.put(lambda: appender.append(event)),
        capacity=capacity.limit(sweep, scale, shape),
    )
    objectives = [each.model_dump(mode="json") for each in sweep.objectives]
    board.started(total_steps=total_steps, num_devices=1, device="CPU", objectives=objectives, constraints=[])
    shared = Shared(document, "none", "none", None, num_workers=1, shape=shape, plan=plan)  # type: ignore[arg-type]
    searching = tuner.Search(board, sweep, shared, total_steps=total_steps, trainable=trainable)
    while not searching.has_ended(1.0):
        pass
    writer.close(give_up_after_s=30)
    return sweeps.read(events.read_events(objects, "toy-0001"))


def nested(arguments: argparse.Namespace) -> dict[str, Any]:
    """Trials of two workers one after another."""
    num_trials = arguments.nested_trials
    settings = (
        "train.max_steps=4",
        "train.evaluate_every_steps=4",
        "method={type: full}",
        "data.validation.fraction=0.005",
        "data.test_fraction=0.005",
        "scale={num_workers: 2, cpus_per_worker: 1.0, zero: {stage: 2}}",
        "sweep.space={train.learning_rate: {log_uniform: [1.0e-5, 1.0e-3]}}",
        "sweep.search={type: random}",
        "sweep.scheduler={type: fifo}",
        "sweep.start_from=[]",
        f"sweep.budget.trials={num_trials}",
    )
    samples: dict[int, list[dict[str, float]]] = {}
    next_look = 0.0

    def look(process: subprocess.Popen[bytes], storage: Path) -> None:
        nonlocal next_look
        if time.monotonic() < next_look:
            return
        num_begun = len(list(storage.glob("runs/*/trials/runs/*/run.json")))
        samples.setdefault(num_begun, []).append(_memory_mb(process))
        next_look = time.monotonic() + LOOK_INTERVAL_S

    with _swept(settings, look=look) as sweep:
        states = [trial["state"] for trial in sweep["trials"]]
    sizes = {number: _medians(found) for number, found in sorted(samples.items()) if number}
    print(f"nested: {states.count('finished')} of {num_trials} trials finished; MB as they went by:", flush=True)
    thirds = [_medians(list(each)) for each in _thirds(list(sizes.values())[2:])]  # after the first: it imports
    for kind in sorted(thirds[-1], key=lambda kind: -thirds[-1][kind]):
        told = " ".join(f"{third.get(kind, 0.0):7.0f}" for third in thirds)
        print(f"  {kind:<34} {told}   {_slope(sizes, kind):+.2f} a trial in the second half", flush=True)
    heads = [sum(size for kind, size in third.items() if kind not in OF_THE_SWEEP) for third in thirds]
    print(
        f"nested: head {heads[0]:.0f}, {heads[1]:.0f}, {heads[2]:.0f} MB in the thirds of the sweep: "
        f"{heads[2] / heads[0] - 1:+.1%} (at most {MOST_GROWTH:.0%})",
        flush=True,
    )
    return {"sizes_mb": sizes, "thirds": thirds, "head": heads}


def _memory_mb(process: subprocess.Popen[bytes]) -> dict[str, float]:
    """The own memory of each kind of process below the command, but for the workers, which come and go."""
    found: dict[str, float] = {}
    root = psutil.Process(process.pid)
    for each in [root, *root.children(recursive=True)]:
        try:
            kind = "driver" if each == root else _kind(each)
            if kind is not None:
                found[kind] = found.get(kind, 0.0) + each.memory_full_info().uss / 1e6
        except psutil.Error:
            continue
    return found


def _kind(process: psutil.Process) -> str | None:
    """What a process of Ray is for; None for what comes and goes with each trial."""
    title, *arguments = process.cmdline() or [""]
    script = next((each for each in arguments if each.endswith(".py")), "")
    if script:
        return Path(script).name
    name = Path(title.partition(" ")[0]).name.removeprefix("ray::").partition(".")[0]
    return None if name in COMES_AND_GOES else name


def _medians(samples: list[dict[str, float]]) -> dict[str, float]:
    kinds = {kind for each in samples for kind in each}
    return {kind: median(each.get(kind, 0.0) for each in samples) for kind in kinds}


def _thirds(found: list[dict[str, float]]) -> list[list[dict[str, float]]]:
    size = max(1, len(found) // 3)
    return [found[:size], found[size:-size] or found, found[-size:]]


def _slope(sizes: dict[int, dict[str, float]], kind: str) -> float:
    half = {number: each.get(kind, 0.0) for number, each in sizes.items() if number > max(sizes) / 2}
    return float(np.polyfit(list(half), list(half.values()), 1)[0]) if len(half) > 1 else 0.0


@contextmanager
def _swept(
    settings: tuple[str, ...], *, look: Callable[[subprocess.Popen[bytes], Path], None] = lambda process, storage: None
) -> Iterator[dict[str, Any]]:
    """Run `eagleray sweep` on the document with these settings; yields what `sweep show --json` says of it."""
    with tempfile.TemporaryDirectory(prefix="eagleray-bench-") as directory:
        storage = Path(directory) / "storage"
        command = [str(SCRIPTS / "eagleray"), "sweep", str(DOCUMENT), "--storage", str(storage), "--json"]
        for setting in settings:
            command += ["--set", setting]
        out, err = Path(directory) / "out", Path(directory) / "err"
        with out.open("wb") as out_stream, err.open("wb") as err_stream:
            process = subprocess.Popen(command, stdout=out_stream, stderr=err_stream, env=_environment())
            while process.poll() is None:
                look(process, storage)
                time.sleep(0.25)
        if process.returncode:
            raise SystemExit(err.read_text(encoding="utf-8"))
        yield {**json.loads(out.read_text(encoding="utf-8")), "storage": str(storage)}


def _contend(name: str, *more: str) -> None:
    """Run a part of this script in a process of its own."""
    done = subprocess.run(
        [sys.executable, str(HERE), "--contend", name, *more], capture_output=True, text=True, env=_environment()
    )
    if done.returncode:
        raise SystemExit(done.stderr)


def _environment() -> dict[str, str]:
    cache = Path(tempfile.gettempdir()) / "eagleray-bench-cache"
    quiet = {"RAY_AUTH_MODE": "disabled", "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1", "PYTHONWARNINGS": "ignore"}
    return {**os.environ, **turns.QUIET, **quiet, "EAGLERAY_CACHE": str(cache), "OMP_NUM_THREADS": "1"}


def _start_ray() -> None:
    import ray

    ray.init(address="local", num_cpus=2, object_store_memory=200 * 2**20, log_to_driver=False, logging_level="ERROR")


PARTS = {
    "prune": prune,
    "wall": wall,
    "bookkeeping": bookkeeping,
    "search": search,
    "population": population,
    "nested": nested,
}
BY_RAY = {"documented": (1.0, 1), "by-hand": (0.001, 2)}
"""CPUs of a trial's function, and how many trials run at once."""
CONTENDERS: dict[str, Callable[[argparse.Namespace], None]] = {
    **{name: partial(nested_by_ray, num_cpus=each[0], at_once=each[1]) for name, each in BY_RAY.items()},
    "in-process": in_one_process,
    "bare": trivial_alone,
    "board": trivial_with_board,
    "population": population_on_toy,
}


def _arguments() -> argparse.Namespace:
    parser = turns.parser(__doc__, rounds=3)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], help="of `prune`")
    parser.add_argument("--nested-trials", type=int, default=20, help="of `nested`")
    parser.add_argument("--contend", choices=CONTENDERS, help=argparse.SUPPRESS)
    parser.add_argument("--directory", default="", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
