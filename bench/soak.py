"""Does anything grow, or get lost, while models are trained, killed, promoted and served for hours?

One endpoint follows the alias `champion` from the first round to the last, and clients ask it all the time. Each round
trains a tiny encoder anew by `eagleray up --until promote`, with (SIGKILL) a worker, the driver, a replica of the
endpoint or nothing killed in turn; where it was the driver the command is run again. Then the endpoint must answer with
the new version, and what earlier rounds have left is deleted, as its user would (`runs delete`, `models delete`).

Counted after each round, once it is still:

memory      MB of all processes of the endpoint, shared pages shared out (PSS)
handles     open files, sockets and pipes of these processes
processes   how many they are
disk        MB of the storage, the cache and temporary files
logs        MB of Ray's logs: Ray leaves those of every run

`growth` is the mean of the last third of the rounds over that of the first third, the first round left out. Lost are
requests without an answer, and rounds whose weights are not those of the first.

    python bench/soak.py                 # two hours
    python bench/soak.py --minutes 10    # some five rounds on two cores
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from itertools import cycle, takewhile
from pathlib import Path
from statistics import mean

import psutil

sys.path.insert(0, str(Path(__file__).parents[1]))  # commands, callers and the model are those of the tests

from bench import turns
from eagleray.spec.document import dump
from eagleray.store import registry, runs
from eagleray.store.objects import open_storage
from tests.ray.processes import Command, Shell, shell
from tests.serving.endpoints import Callers, Served, until
from tests.support import tiny_models, training
from tests.support.loopback import free_port

MODEL = "test"  # the name of the document
LAST_STEP = 84
VICTIMS = ("a worker", "the driver", "a replica", "nothing")
LONGEST_S = 600.0
STILL_S = 5.0
NUM_CALLERS = 2
PAUSE_S = 0.2  # of a caller between two requests


@dataclass(frozen=True, slots=True)
class Sample:
    """What there is after a round."""

    memory: float  # MB
    handles: int
    processes: int
    disk: float  # MB
    logs: float  # MB


@dataclass
class Soaked:
    """What came of the rounds."""

    samples: list[Sample] = field(default_factory=list)
    weights: list[str] = field(default_factory=list)
    """The digest of each round's model."""
    seen: Counter[tuple[int, object]] = field(default_factory=Counter)
    """How many requests got which status, by which version."""

    def growth(self, quantity: str) -> float:
        """How much more of it there is at the end than at the beginning."""
        values = [float(asdict(sample)[quantity]) for sample in self.samples[1:] or self.samples]
        third = max(1, len(values) // 3)
        return mean(values[-third:]) / mean(values[:third])


class Soak:
    """A document that is trained again and again, and the endpoint of its champion."""

    def __init__(self, user: Shell) -> None:
        self._user, self._lots = user, random.Random(0)
        self._objects = open_storage(user.environment["EAGLERAY_STORAGE"])
        write_document(user.folder)

    def run(self, victims: Iterable[str]) -> Soaked:
        """Take a round for each; one before them, of which nothing is told, makes what is served first."""
        soaked = Soaked()
        self._train("nothing", None)
        with self._served() as endpoint:
            key = endpoint.new_key("soak", "predict")
            until(lambda: endpoint.ask("/v1/models", key=key)[0] == 200, within_s=LONGEST_S, what="the key")
            with Callers(endpoint, key, num=NUM_CALLERS, pause_s=PAUSE_S) as callers:
                for number, victim in enumerate(victims, start=1):
                    started = time.monotonic()
                    version = self._train(victim, endpoint)
                    self._wait_for(callers, version)
                    self._tidy(version)
                    time.sleep(STILL_S)
                    soaked.weights.append(self._digest(version))
                    soaked.samples.append(self._look(endpoint))
                    told = ", ".join(f"{name} {value:,.0f}" for name, value in asdict(soaked.samples[-1]).items())
                    seconds = time.monotonic() - started
                    print(
                        f"round {number}, {victim} killed, {seconds:.0f} s: {told}; {callers.failed} lost", flush=True
                    )
            soaked.seen = callers.seen
        return soaked

    def _train(self, victim: str, endpoint: Served | None) -> int:
        """Train, killing on the way; returns the version that is champion now."""
        self._user.start("eagleray", "runs", "delete", MODEL, "--all", "--yes").wait()  # of the first there is none
        driver = self._start()
        if victim != "nothing":
            at = self._lots.randint(LAST_STEP // 10, LAST_STEP // 2)
            until(lambda: self._step() >= at, within_s=LONGEST_S, what=f"step {at}")
            self._kill(victim, driver, endpoint)
        if victim == "the driver":
            driver.wait()
            driver = self._start()
        assert driver.wait(timeout_s=LONGEST_S) == 0, driver.err
        return registry.current(self._objects, MODEL, "champion").version

    def _start(self) -> Command:
        return self._user.start("eagleray", "up", "job.yaml", "--until", "promote")

    def _kill(self, victim: str, driver: Command, endpoint: Served | None) -> None:
        if victim == "the driver":
            driver.process.kill()
        elif victim == "a worker":
            self._user.workers()[0].kill()
        else:
            assert endpoint is not None
            os.kill(endpoint.replicas()[0], signal.SIGKILL)

    def _step(self) -> int:
        found = [runs.read_progress(self._objects, each.run) for each in runs.list_runs(self._objects)]
        return max((each.step for each in found if each), default=0)

    def _digest(self, version: int) -> str:
        files = registry.read(self._objects, MODEL, version).files
        return {each.path: each.sha256 for each in files}["model.safetensors"]

    def _tidy(self, version: int) -> None:
        """Delete versions older than the one before this; what is served yet is refused, and goes a round later."""
        for each in registry.versions(self._objects, MODEL):
            if each.version < version - 1:
                self._user.start("eagleray", "models", "delete", f"{MODEL}@{each.version}", "--yes").wait()

    @contextmanager
    def _served(self) -> Iterator[Served]:
        port = free_port()
        command = self._user.start("eagleray", "serve", f"{MODEL}@champion", "--port", str(port))
        command.wait_for("Ctrl-C ends it")
        yield Served(command.process, port, self._user.environment, command.err_file)
        command.interrupt()
        assert command.wait() == 0, command.err

    def _look(self, endpoint: Served) -> Sample:
        memory, handles, processes = 0.0, 0, 0
        for pid in (endpoint.process.pid, *endpoint.descendants()):
            with suppress(psutil.NoSuchProcess):  # it has just ended
                each = psutil.Process(pid)
                memory += each.memory_full_info().pss / 1e6
                handles += each.num_fds()
                processes += 1
        everything, logs = (_megabytes(each) for each in (self._user.folder, self._user.folder / "t" / "ray"))
        return Sample(memory, handles, processes, everything - logs, logs)

    def _wait_for(self, callers: Callers, version: int) -> None:
        until(lambda: (200, version) in callers.seen, within_s=LONGEST_S, what=f"an answer of version {version}")


@contextmanager
def soaking(folder: Path) -> Iterator[Soak]:
    """In a folder with a short path: Ray's sockets lie below it. What is left of processes is killed at the end."""
    own = {"EAGLERAY_STORAGE": "storage", "EAGLERAY_CACHE": "cache", "TMPDIR": "t", "RAY_TMPDIR": "t"}
    (folder / "t").mkdir()
    with shell(folder, **{name: str(folder / below) for name, below in own.items()}) as user:
        yield Soak(user)


def write_document(folder: Path) -> None:
    """`job.yaml`: two workers at ZeRO-2 train a tiny random encoder for 84 steps, with 6 checkpoints."""
    tiny_models.save_encoder(folder / "model")
    training.write_reviews(folder / "train.jsonl", num_rows=70)
    sections: dict[str, dict[str, object]] = {
        "train": {"epochs": 12, "micro_batch_size": 2},
        "scale": {"num_workers": 2, "cpus_per_worker": 0.5, "zero": {"stage": 2}},
        "checkpoint": {"every_steps": LAST_STEP // 6},
        "promote": {"alias": "champion"},
    }
    document = training.document(folder / "model", folder / "train.jsonl", **sections)
    (folder / "job.yaml").write_text(dump(document), encoding="utf-8")


def _megabytes(folder: Path) -> float:
    total = 0
    for path in folder.rglob("*"):
        with suppress(OSError):  # it has just been deleted
            total += path.lstat().st_blocks * 512
    return total / 1e6


def main() -> None:
    arguments = _arguments()
    until_s = time.monotonic() + 60 * arguments.minutes
    with (
        tempfile.TemporaryDirectory(prefix="er-", dir="/tmp", ignore_cleanup_errors=True) as folder,
        soaking(Path(folder)) as soak,
    ):
        soaked = soak.run(takewhile(lambda _: time.monotonic() < until_s, cycle(VICTIMS)))
    figures: dict[str, dict[str, list[float]]] = {
        name: {"growth": [soaked.growth(name)], "after a round": [float(asdict(each)[name]) for each in soaked.samples]}
        for name in asdict(soaked.samples[0])
    }
    figures["ours"] = {
        "rounds": [float(len(soaked.samples))],
        "requests": [float(soaked.seen.total())],
        "lost requests": [float(sum(count for (status, _), count in soaked.seen.items() if status != 200))],
        "other weights": [float(sum(each != soaked.weights[0] for each in soaked.weights))],
    }
    turns.finish(__file__, figures, arguments)


def _arguments() -> argparse.Namespace:
    parser = turns.parser(__doc__)
    parser.add_argument("--minutes", type=float, default=120.0, help="default: %(default)s")
    return parser.parse_args()


if __name__ == "__main__":
    main()
