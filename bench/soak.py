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
logs        MB of Ray's logs, which stay: this is what a run of Ray leaves

`growth` is the mean of the last third of the rounds over that of the first third, the first round left out. Lost are
requests without an answer, and rounds whose weights are not those of the first.

    python bench/soak.py --minutes 120
    python bench/soak.py --minutes 10
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from itertools import cycle, takewhile
from pathlib import Path
from statistics import mean
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import psutil

sys.path.insert(0, str(Path(__file__).parents[1]))  # the model is that of the tests

from bench import turns
from tests.support import tiny_models, training

MODEL = "test"  # the name of the document
INPUT = {"text": "a joy to watch"}
LAST_STEP = 84
VICTIMS = ("a worker", "the driver", "a replica", "nothing")
LONGEST_S = 600.0
STILL_S = 5.0
PAUSE_S = 0.2  # of a client between two requests
EAGLERAY = str(Path(sys.executable).parent / "eagleray")


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
    answers: Counter[str] = field(default_factory=Counter)
    """How many requests were answered by which version, and the others by what came instead."""

    @property
    def num_lost(self) -> int:
        """Requests without an answer of a version."""
        return sum(number for told, number in self.answers.items() if not told.startswith("version "))

    @property
    def num_different(self) -> int:
        """Rounds whose weights are not the first's."""
        return sum(each != self.weights[0] for each in self.weights)

    def growth(self, quantity: str) -> float:
        """How much more of it there is at the end than at the beginning."""
        values = [float(asdict(sample)[quantity]) for sample in self.samples[1:] or self.samples]
        third = max(1, len(values) // 3)
        return mean(values[-third:]) / mean(values[:third])


class Soak:
    """A storage, the document that is trained again and again, and the endpoint of its champion."""

    def __init__(self, scratch: Path, *, port: int) -> None:
        """`scratch` has a short path: Ray's sockets lie below it."""
        from eagleray.store.objects import open_storage

        self._scratch, self._port = scratch, port
        self._objects = open_storage(str(scratch / "storage"))
        self._lots = random.Random(0)
        self._temporary = scratch / "t"
        self._temporary.mkdir()
        write_document(scratch)
        self._environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"} | {
            "EAGLERAY_STORAGE": str(scratch / "storage"),
            "EAGLERAY_CACHE": str(scratch / "cache"),
            "TMPDIR": str(self._temporary),
            "RAY_TMPDIR": str(self._temporary),
        }

    def run(self, victims: Iterable[str]) -> Soaked:
        """Take a round for each; one before them, of which nothing is told, makes what is served first."""
        soaked = Soaked()
        self._train("nothing", None)
        with self._endpoint() as endpoint, self._clients(soaked.answers):
            for number, victim in enumerate(victims, start=1):
                started = time.monotonic()
                version = self._train(victim, endpoint)
                self._wait_for(version)
                self._tidy(version)
                time.sleep(STILL_S)
                soaked.weights.append(self._digest(version))
                soaked.samples.append(self._look(endpoint))
                told = ", ".join(f"{name} {value:,.0f}" for name, value in asdict(soaked.samples[-1]).items())
                seconds = time.monotonic() - started
                print(f"round {number}, {victim} killed, {seconds:.0f} s: {told}; {soaked.num_lost} lost", flush=True)
        return soaked

    def _train(self, victim: str, endpoint: psutil.Process | None) -> int:
        """Train, killing on the way; returns the version that is champion now."""
        from eagleray.store import registry

        self._command("runs", "delete", MODEL, "--all", "--yes", may_fail=True)
        driver = self._start()
        if victim != "nothing":
            at = self._lots.randint(LAST_STEP // 10, LAST_STEP // 2)
            self._wait(lambda: driver.poll() is not None or self._step() >= at, f"step {at}")
            self._kill(victim, driver, endpoint)
        if victim == "the driver":
            driver.wait(LONGEST_S)
            driver = self._start()
        code = driver.wait(LONGEST_S)
        if code:
            raise RuntimeError(f"`eagleray up` ended with {code}; see {self._scratch}")
        return registry.aliases(self._objects, MODEL)["champion"].version

    def _start(self) -> subprocess.Popen[bytes]:
        with (self._scratch / "up.log").open("ab") as stream:
            return subprocess.Popen(
                [EAGLERAY, "up", str(self._scratch / "job.yaml"), "--until", "promote"],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
            )

    def _kill(self, victim: str, driver: subprocess.Popen[bytes], endpoint: psutil.Process | None) -> None:
        below = {"a worker": driver.pid, "a replica": endpoint.pid if endpoint else 0}.get(victim)
        name = {"a worker": "RayTrainWorker", "a replica": "ServeReplica"}.get(victim, "")
        if below is None:
            driver.kill()
            return
        found = [
            each for each in _tree(psutil.Process(below)) if name in _name(each) and "Coordinator" not in _name(each)
        ]
        if not found:
            raise RuntimeError(f"there is no process {name} to kill")
        found[0].kill()

    def _step(self) -> int:
        from eagleray.store import runs

        found = [runs.read_progress(self._objects, each.run) for each in runs.list_runs(self._objects)]
        return max((each.step for each in found if each), default=0)

    def _digest(self, version: int) -> str:
        from eagleray.store import registry

        files = registry.read(self._objects, MODEL, version).files
        [weights] = [each.sha256 for each in files if each.path.endswith("model.safetensors")]
        return weights

    def _tidy(self, version: int) -> None:
        """Delete what is older than the version before this one, and no longer served."""
        from eagleray.store import registry

        for each in registry.versions(self._objects, MODEL):
            if each.version < version - 1:
                self._command("models", "delete", f"{MODEL}@{each.version}", "--yes", may_fail=True)

    def _command(self, *arguments: str, may_fail: bool = False) -> str:
        done = subprocess.run(
            [EAGLERAY, *arguments], env=self._environment, capture_output=True, text=True, check=False
        )
        if done.returncode and not may_fail:
            raise RuntimeError(f"eagleray {' '.join(arguments)} ended with {done.returncode}:\n{done.stderr}")
        return done.stdout

    @contextmanager
    def _endpoint(self) -> Iterator[psutil.Process]:
        self._key = json.loads(self._command("keys", "create", "soak", "--json"))["key"]
        command = [EAGLERAY, "serve", f"{MODEL}@champion", "--port", str(self._port)]
        with (self._scratch / "serve.log").open("wb") as stream:
            process = subprocess.Popen(command, env=self._environment, stdout=stream, stderr=stream)
        try:
            self._wait(lambda: self._ask().startswith("version "), "the endpoint")
            yield psutil.Process(process.pid)
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(LONGEST_S)

    @contextmanager
    def _clients(self, answers: Counter[str], *, num: int = 2) -> Iterator[None]:
        done = threading.Event()

        def ask() -> None:
            while not done.wait(PAUSE_S):
                answers[self._ask()] += 1

        threads = [threading.Thread(target=ask) for _ in range(num)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            done.set()
            for thread in threads:
                thread.join()

    def _ask(self) -> str:
        headers = {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"}
        body = json.dumps({"inputs": [INPUT]}).encode()
        request = Request(f"http://127.0.0.1:{self._port}/v1/predict", data=body, headers=headers)
        try:
            with urlopen(request, timeout=60) as answer:
                return f"version {json.load(answer)['version']}"
        except HTTPError as refusal:
            with refusal:
                return f"status {refusal.code}: {refusal.read().decode()}"
        except OSError as error:
            return str(error)

    def _look(self, endpoint: psutil.Process) -> Sample:
        memory, handles, processes = 0.0, 0, 0
        for each in _tree(endpoint):
            with suppress(psutil.NoSuchProcess):  # it has just ended
                memory += each.memory_full_info().pss / 1e6
                handles += each.num_fds()
                processes += 1
        all_bytes, logs = (sum(map(_size, each.rglob("*"))) for each in (self._scratch, self._temporary / "ray"))
        return Sample(memory, handles, processes, (all_bytes - logs) / 1e6, logs / 1e6)

    def _wait_for(self, version: int) -> None:
        self._wait(lambda: self._ask() == f"version {version}", f"version {version}'s answer")

    def _wait(self, is_there: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + LONGEST_S
        while not is_there():
            if time.monotonic() > deadline:
                raise RuntimeError(f"{what} did not come within {LONGEST_S:g} s; see {self._scratch}")
            time.sleep(0.2)


def write_document(scratch: Path) -> None:
    """`job.yaml`: two workers at ZeRO-2 train a tiny random encoder for 84 steps, with 6 checkpoints."""
    from eagleray.spec.document import dump

    tiny_models.save_encoder(scratch / "model")
    training.write_reviews(scratch / "train.jsonl", num_rows=70)
    sections: dict[str, dict[str, object]] = {
        "train": {"epochs": 12, "micro_batch_size": 2},
        "scale": {"num_workers": 2, "cpus_per_worker": 0.5, "zero": {"stage": 2}},
        "checkpoint": {"every_steps": LAST_STEP // 6},
        "promote": {"alias": "champion"},
    }
    document = training.document(scratch / "model", scratch / "train.jsonl", **sections)
    (scratch / "job.yaml").write_text(dump(document), encoding="utf-8")


def _tree(process: psutil.Process) -> list[psutil.Process]:
    return [process, *process.children(recursive=True)]


def _name(process: psutil.Process) -> str:
    with suppress(psutil.Error):
        return " ".join(process.cmdline())
    return ""


def _size(path: Path) -> int:
    with suppress(OSError):  # it has just been deleted
        return path.lstat().st_blocks * 512
    return 0


def main() -> None:
    arguments = _arguments()
    scratch = Path(tempfile.mkdtemp(prefix="er-", dir="/tmp"))
    until = time.monotonic() + 60 * arguments.minutes
    soaked = Soak(scratch, port=arguments.port).run(takewhile(lambda _: time.monotonic() < until, cycle(VICTIMS)))
    print(json.dumps(soaked.answers, indent=1))
    figures: dict[str, dict[str, list[float]]] = {
        name: {"growth": [soaked.growth(name)], "after a round": [float(asdict(each)[name]) for each in soaked.samples]}
        for name in asdict(soaked.samples[0])
    }
    figures["ours"] = {
        "rounds": [float(len(soaked.samples))],
        "requests": [float(soaked.answers.total())],
        "lost requests": [float(soaked.num_lost)],
        "other weights": [float(soaked.num_different)],
    }
    turns.finish(__file__, figures, arguments)
    shutil.rmtree(scratch)


def _arguments() -> argparse.Namespace:
    parser = turns.parser(__doc__)
    parser.add_argument("--minutes", type=float, default=120.0, help="default: %(default)s")
    parser.add_argument("--port", type=int, default=8761, help="default: %(default)s")
    return parser.parse_args()


if __name__ == "__main__":
    main()
