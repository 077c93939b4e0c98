"""Does the memory of a run's parent process, of evaluation and of prediction grow with the number of rows?

Each figure is of a process of its own, for each number of rows (`--rows`); the model is a tiny random encoder, so that
what the rows take is not lost beside the weights.

evaluate  one worker (gloo, without Ray) has built its session; it evaluates so many test rows with `train.evaluate`,
          from the data cache.
predict   `flow.predict` answers a JSONL file of so many rows.
parent    `eagleray train` with so many training rows and an empty data cache: it checks and prepares them and starts
          the worker under Ray; the peak of its whole life. (bench/data_memory.py looks at the preparation alone.)

Evaluation and prediction go over 4,000 other rows first, and the C library is told to give freed blocks back
(MALLOC_MMAP_THRESHOLD_). Left to itself it keeps them, and as every shape of a batch wants blocks of another size, it
kept up to 100 MiB after a pass over rows of all lengths, and no more after a second one.

Looked at are `start`, resident before the rows; `peak`, the most that was resident from then on (VmHWM, which
counts pages of mapped files, although the system can take them back at any time); `own_start` and `own_peak`, the
same of the memory that is the process's alone (anonymous; looked at every few batches). The parent is looked at from
outside and has a peak only. Told is how much more of them, in MiB, the most rows take than the fewest.

    python bench/evaluation_memory.py                              # 1,000 and 100,000 rows, five minutes on two cores
    python bench/evaluation_memory.py --rows 200 2000 --parts evaluate predict
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
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from bench import turns, worker
from bench.peers import group_of_one

WORDS = [
    "film",
    "good",
    "one",
    "cast",
    "story",
    "warm",
    "funny",
    "slow",
    "dark",
    "long",
    "bright",
    "very",
    "made",
    "well",
]
LABELS = ("bad", "good")
MEASURED = {"evaluate": "test", "predict": "input", "parent": "train"}  # the file that has so many rows
OTHER_ROWS = {"train": 64, "validation": 4_000, "test": 64}  # of the other files
LOOK_EVERY = 20  # batches or rows between two looks at the memory
BATCH_SIZE = 64
MIB = 2**20


@dataclass(frozen=True, slots=True)
class Figures:
    """Bytes of one process."""

    start: int
    peak: int
    own_start: int
    own_peak: int
    seconds: float


def main() -> None:
    arguments = _arguments()
    if arguments.child:
        print(json.dumps(CHILDREN[arguments.child](Path(arguments.directory))))
        return
    figures: dict[str, dict[str, list[float]]] = {}
    seen: dict[str, dict[int, Any]] = {}
    with tempfile.TemporaryDirectory(prefix="eagleray-bench-") as scratch:
        for part in arguments.parts:
            found = {rows: measured(part, rows, Path(scratch) / f"{part}-{rows}") for rows in arguments.rows}
            figures[part] = growth(part, found)
            seen[part] = {rows: asdict(each) for rows, each in found.items()}
    turns.finish(__file__, figures, arguments, bytes=seen)


def measured(part: str, rows: int, directory: Path) -> Figures:
    """Write what the part needs to `directory` and measure it."""
    directory.mkdir()
    sizes = OTHER_ROWS | {MEASURED[part]: rows}
    first = 0
    for name, size in sizes.items():
        _write_reviews(directory / f"{name}.jsonl", first=first, num_rows=size)
        first += size
    _child("model", directory)
    match part:
        case "evaluate":
            _child("prepare", directory)  # in a process of its own: what it gives back would hide what follows
            return Figures(**_child("evaluate", directory))
        case "predict":
            _child("train", directory)
            return Figures(**_child("predict", directory))
    return _parent(directory)


def save_model(directory: Path) -> None:
    """Write the tiny encoder."""
    from tests.support import tiny_models

    tiny_models.save_encoder(directory / "model")


def prepare(directory: Path) -> None:
    """Fill the data cache."""
    from eagleray.spec.finetune import FineTune
    from eagleray.train import inputs

    document = FineTune.model_validate_json(_document(directory))
    inputs.load(document.spec, cache_dir=directory / "cache")


def train(directory: Path) -> None:
    """Take one step, so that there is a model to predict with."""
    from eagleray.train import session

    with group_of_one() as group:
        session.run(_job(directory), group)


def evaluate(directory: Path) -> dict[str, Any]:
    """Evaluate the test rows in a worker's session."""
    from eagleray.train.assembly import assemble
    from eagleray.train.evaluate import evaluate as measure
    from eagleray.train.loading import Loader

    with group_of_one() as group, ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        built = assemble(_job(directory), group, loader=Loader(), scratch=scratch, mark=lambda doing: None, stack=stack)
        built.engine.module.eval()
        parts = {
            "task": built.inputs.task,
            "collate": built.collate,
            "micro_batch_size": BATCH_SIZE,
            "group": group,
        }
        measure(built.engine.forward, split=built.inputs.data.validation, **parts)
        assert built.inputs.data.test is not None
        watch = Watch()
        measure(
            built.engine.forward,
            split=built.inputs.data.test,
            on_batch=lambda done, total: watch.look(done),
            **parts,
        )
        figures = watch.figures()
        built.recorder.close()
    return asdict(figures)


def predict(directory: Path) -> dict[str, Any]:
    """Answer the input rows with the model of the run."""
    import torch

    from eagleray.data.sources import read_rows
    from eagleray.flow.predict import results
    from eagleray.store import paths
    from eagleray.tasks import trained

    def answers(name: str) -> Iterator[dict[str, Any]]:
        return results(model, read_rows(str(directory / f"{name}.jsonl"), split="test"), batch_size=BATCH_SIZE)

    model = trained.load(directory / "storage" / paths.model("bench-0001"), device=torch.device("cpu"))
    deque(answers("validation"), maxlen=0)
    watch = Watch()
    for number, _ in enumerate(answers("input")):
        watch.look(number)
    return asdict(watch.figures())


CHILDREN = {"model": save_model, "prepare": prepare, "train": train, "evaluate": evaluate, "predict": predict}


class Watch:
    """The memory of this process from now on."""

    def __init__(self) -> None:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # resets VmHWM, the peak of resident memory
        now = _memory("self")
        self._start, self._own_start, self._own_peak = now["VmRSS"], now["RssAnon"], now["RssAnon"]
        self._started = time.perf_counter()

    def look(self, number: int) -> None:
        """Look now and then at what is the process's own: the system keeps no peak of that."""
        if number % LOOK_EVERY == 0:
            self._own_peak = max(self._own_peak, _memory("self")["RssAnon"])

    def figures(self) -> Figures:
        """What was seen."""
        now = _memory("self")
        own_peak = max(self._own_peak, now["RssAnon"])
        return Figures(self._start, now["VmHWM"], self._own_start, own_peak, time.perf_counter() - self._started)


def growth(part: str, by_rows: dict[int, Figures]) -> dict[str, list[float]]:
    """What more rows take."""
    fewest, most = by_rows[min(by_rows)], by_rows[max(by_rows)]
    found = {"growth_mib": [((most.peak - most.start) - (fewest.peak - fewest.start)) / MIB]}
    if part != "parent":
        own = (most.own_peak - most.own_start) - (fewest.own_peak - fewest.own_start)
        found |= {"own_growth_mib": [own / MIB]}
    return found


def _parent(directory: Path) -> Figures:
    """Run `eagleray train` and look at the process from outside until it ends."""
    document = directory / "document.yaml"  # JSON is YAML
    document.write_text(_document(directory), encoding="utf-8")
    command = [str(Path(sys.executable).parent / "eagleray"), "train", str(document)]
    command += ["--storage", str(directory / "storage"), "--quiet"]
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    started = time.perf_counter()
    log = directory / "log"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            command,
            env={**environment, "EAGLERAY_CACHE": str(directory / "cache")},
            stdout=stream,
            stderr=subprocess.STDOUT,
        )
    peak = 0
    while process.poll() is None:
        peak = max(peak, _memory(str(process.pid)).get("VmHWM", 0))
        time.sleep(0.2)
    if process.returncode:
        sys.exit(f"{' '.join(command)} ended with {process.returncode}:\n{log.read_text(encoding='utf-8')}")
    return Figures(start=0, peak=peak, own_start=0, own_peak=0, seconds=time.perf_counter() - started)


def _child(name: str, directory: Path) -> Any:
    command = [sys.executable, __file__, "--child", name, "--directory", str(directory)]
    environment = os.environ | {"DS_ACCELERATOR": "cpu", "MALLOC_MMAP_THRESHOLD_": str(128 * 1024)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{name}:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def _document(directory: Path) -> str:
    files = {name: str(directory / f"{name}.jsonl") for name in ("train", "validation", "test")}
    spec = {
        "model": {"source": str(directory / "model")},
        "task": {"type": "text-classification"},
        "data": {
            "train": files["train"],
            "validation": {"file": files["validation"]},
            "test": files["test"],
            "max_length": 64,
        },
        "train": {"max_steps": 1, "global_batch_size": BATCH_SIZE, "micro_batch_size": BATCH_SIZE},
    }
    return json.dumps({"kind": "FineTune", "metadata": {"name": "memory"}, "spec": spec})


def _job(directory: Path) -> Any:
    from eagleray.spec.finetune import FineTune

    return worker.job(FineTune.model_validate_json(_document(directory)), directory)


def _write_reviews(path: Path, *, first: int, num_rows: int) -> None:
    """Reviews of 5 to 30 words, each with its number so that none repeats."""
    draw = random.Random(first)
    with path.open("w", encoding="utf-8") as stream:
        for number in range(first, first + num_rows):
            words = " ".join(draw.choices(WORDS, k=draw.randint(5, 30)))
            stream.write(json.dumps({"text": f"{number}: {words}", "label": LABELS[number % 2]}) + "\n")


def _memory(process: str) -> dict[str, int]:
    """The memory figures of /proc in bytes; none where the process has ended."""
    try:
        lines = Path(f"/proc/{process}/status").read_text(encoding="ascii").splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return {}
    wanted = [line.split() for line in lines if line.startswith(("VmHWM:", "VmRSS:", "RssAnon:"))]
    return {name.rstrip(":"): int(size) * 1024 for name, size, _ in wanted}


def _arguments() -> argparse.Namespace:
    parser = turns.parser(__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000, 100_000])
    parser.add_argument("--parts", nargs="+", choices=list(MEASURED), default=list(MEASURED))
    parser.add_argument("--child", choices=list(CHILDREN), help=argparse.SUPPRESS)
    parser.add_argument("--directory", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
