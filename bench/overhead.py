"""How much of the speed of training do metrics and records cost?

One worker trains MiniLM on film sentences, batches of 32, block after block, with the same model in the same process:

off    nothing is written down and nobody looks on.
on     the recorder writes what a run writes: the progress twice a second, the figures of each step that is logged,
       events, TensorBoard's files. A driver beside it, on the same machine, reads the progress twice a second and
       serves it to Prometheus, who asks every second: fifteen times as often as the shipped configuration has it.

Blocks follow each other as off on on off, so that a change of the machine's speed meets both. Costs are those of
1,000 cells (tokens with padding), since the batches of blocks differ. Printed are the ratios over the pairs of blocks.
Where others use the machine too, three figures say more: the share of its time that the thread of the training spends
in the recorder, and the shares of one core that the recorder's own thread and the driver take: together they are what
can be lost at most, on a machine without a core to spare. At most 1 % of the speed may be lost.

    python bench/overhead.py                             # 20 pairs of 20 steps, ten minutes on two cores
    python bench/overhead.py --pairs 2 --steps 5         # does it run?
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import socket
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from itertools import cycle, islice
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import Any
from urllib.request import urlopen

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench import films, train_throughput, turns, worker
from bench.peers import group_of_one
from bench.train_throughput import Setup

LEAST_RATIO = 0.99
WARMUP_STEPS = 10
ASK_EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class Block:
    """Some steps in a row."""

    is_on: bool
    cells: int  # tokens with padding: what a step costs
    wall_s: float
    in_recorder_s: float  # of the thread that trains
    cpu_s: float  # of all threads of the worker
    writer_cpu_s: float = 0.0  # of the recorder's thread, in cpu_s too
    driver_cpu_s: float = 0.0
    num_asked: int = 0  # how often Prometheus has

    @property
    def wall_ms(self) -> float:
        """Of 1,000 cells."""
        return 1e6 * self.wall_s / self.cells

    @property
    def cpu_ms(self) -> float:
        """Of 1,000 cells, the driver's included."""
        return 1e6 * (self.cpu_s + self.driver_cpu_s) / self.cells


class Driver:
    """The process beside the worker: it sleeps in the blocks that are off."""

    def __init__(self, setup: Setup, run: str, text: str) -> None:
        self._pipe, theirs = multiprocessing.get_context("spawn").Pipe()
        self._process = multiprocessing.get_context("spawn").Process(
            target=_drive, args=(setup.directory, run, text, theirs), daemon=True
        )
        self._process.start()
        self._pipe.recv()

    def wake(self) -> None:
        """Begin to look on."""
        self._pipe.send(True)

    def sleep(self) -> tuple[int, float]:
        """Look away; returns how often Prometheus has asked, and the CPU seconds that it took to look on."""
        self._pipe.send(False)
        num_asked, cpu_s = self._pipe.recv()
        return int(num_asked), float(cpu_s)

    def close(self) -> None:
        """End it."""
        self._pipe.send(None)
        self._process.join(timeout=30)


def main() -> None:
    arguments = _arguments()
    steps = 2 * arguments.pairs * arguments.steps + WARMUP_STEPS
    with tempfile.TemporaryDirectory(prefix="eagleray-bench-") as directory:
        films.write(Path(directory), train=1600, validation=train_throughput.BATCH_SIZE)
        setup = Setup(
            directory=directory,
            epochs=1 + steps // (1600 // train_throughput.BATCH_SIZE),
            max_length=128,
            zero_stage=0,
            num_threads=arguments.threads,
        )
        blocks = []
        for block in train(setup, num_pairs=arguments.pairs, block_steps=arguments.steps):
            blocks.append(block)
            state = f"on, Prometheus asked {block.num_asked} times" if block.is_on else "off"
            print(f"1,000 cells in {block.wall_ms:.1f} ms, {block.cpu_ms:.1f} ms of CPU: {state}", flush=True)
    print_ratios(blocks)
    turns.finish(__file__, {}, arguments, blocks=[asdict(block) for block in blocks])


def train(setup: Setup, *, num_pairs: int, block_steps: int) -> Iterator[Block]:
    """Take the steps, and yield each block."""
    os.environ["DS_ACCELERATOR"] = "cpu"
    warnings.filterwarnings("ignore")
    import torch

    from eagleray.model import quiet
    from eagleray.spec.document import dump
    from eagleray.train import stepping
    from eagleray.train.assembly import assemble
    from eagleray.train.loading import Loader
    from eagleray.train.recorder import SilentRecorder

    torch.set_num_threads(setup.num_threads)
    quiet.silence()
    document = train_throughput._document(setup)
    job = worker.job(document, Path(setup.directory))
    storage = job.storage
    driver = Driver(setup, job.run, dump(document))
    with group_of_one() as group, ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        built = assemble(job, group, loader=Loader(), scratch=scratch, mark=lambda doing: None, stack=stack)
        built.recorder.close()
        log_every_steps = document.spec.train.log_every_steps
        reports = stepping.steps(replace(built, recorder=SilentRecorder()), 0)
        for _ in islice(reports, WARMUP_STEPS):
            pass
        for is_on in islice(cycle((False, True, True, False)), 2 * num_pairs):
            if is_on:
                writes = stack.enter_context(ExitStack())
                recorder = _recorder(storage, job.run, job.lease, built.total_steps, log_every_steps, scratch)
                writes.callback(recorder.close)
                driver.wake()
                block = _block(reports, recorder, is_on=True, steps=block_steps)
                num_asked, driver_cpu_s = driver.sleep()
                writer_cpu_s = _cpu_s("recorder")
                writes.close()
                yield replace(block, writer_cpu_s=writer_cpu_s, driver_cpu_s=driver_cpu_s, num_asked=num_asked)
            else:
                yield _block(reports, SilentRecorder(), is_on=False, steps=block_steps)
    driver.close()


def _block(reports: Iterator[Any], recorder: Any, *, is_on: bool, steps: int) -> Block:
    began, cpu_s, in_recorder_s, cells = time.perf_counter(), time.process_time(), 0.0, 0
    for report in islice(reports, steps):
        before = time.perf_counter()
        recorder.step(report)
        in_recorder_s += time.perf_counter() - before
        cells += report.num_cells
    return Block(is_on, cells, time.perf_counter() - began, in_recorder_s, time.process_time() - cpu_s)


def _cpu_s(thread: str) -> float:
    """Of a thread of this process, since it began."""
    [found] = [each for each in threading.enumerate() if each.name == thread]
    assert found.ident is not None
    return time.clock_gettime(time.pthread_getcpuclockid(found.ident))


def _recorder(storage: str, run: str, lease: int, total_steps: int, log_every_steps: int, scratch: Path) -> Any:
    from eagleray.store.objects import open_storage
    from eagleray.train.recorder import StorageRecorder

    return StorageRecorder(
        open_storage(storage),
        run,
        lease_number=lease,
        total_steps=total_steps,
        log_every_steps=log_every_steps,
        scratch=scratch,
    )


def _drive(directory: str, run: str, text: str, pipe: Connection) -> None:
    """The process of the driver: reads the progress as often as a driver does, and is asked."""
    from eagleray.flow import exporting
    from eagleray.spec import document
    from eagleray.store import runs
    from eagleray.store.objects import open_storage
    from eagleray.train.driver import POLL_INTERVAL_S

    objects = open_storage(f"{directory}/storage")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    wanted = document.loads(text, source="bench", overrides=[f"monitoring.port={port}"]).document
    looker = _Looker()
    with exporting.beside(wanted, objects, looker) as observer:
        observer.created(runs.read(objects, run))
        pipe.send("ready")
        while pipe.recv():
            num_asked, asked_at, cpu_s = 0, time.monotonic(), time.process_time()
            while not pipe.poll(POLL_INTERVAL_S):
                progress = runs.read_progress(objects, run)
                if progress is not None:
                    observer.progress(progress)
                if time.monotonic() - asked_at >= ASK_EVERY_S:
                    asked_at, num_asked = time.monotonic(), num_asked + 1
                    urlopen(looker.url, timeout=5).read()
            pipe.recv()
            pipe.send((num_asked, time.process_time() - cpu_s))


class _Looker:
    """Who has started the run."""

    url = ""

    def say(self, message: str) -> None:
        self.url = message.rpartition(" ")[2]

    def __getattr__(self, name: str) -> Any:
        return lambda *facts: None


def print_ratios(blocks: list[Block]) -> None:
    """How fast training is with metrics and records, beside without."""
    off = [block for block in blocks if not block.is_on]
    on = [block for block in blocks if block.is_on]
    print()
    for what, cost in (("speed", "wall_ms"), ("CPU time", "cpu_ms")):
        pairs = [(getattr(before, cost), getattr(after, cost)) for before, after in zip(off, on, strict=True)]
        ratios = sorted(before / after if what == "speed" else after / before for before, after in pairs)
        quarter = len(ratios) // 4
        middle = ratios[quarter : len(ratios) - quarter]
        print(f"{what} on / off: {median(ratios):.4f}, middle half {middle[0]:.4f} to {middle[-1]:.4f}")
    wall_s = sum(block.wall_s for block in on)
    print(f"share of its time that training spends in the recorder: {sum(b.in_recorder_s for b in on) / wall_s:.4%}")
    print(f"share of one core that the recorder's thread takes: {sum(b.writer_cpu_s for b in on) / wall_s:.4%}")
    print(f"share of one core that the driver takes: {sum(b.driver_cpu_s for b in on) / wall_s:.4%}")
    print(f"speed is to be at least {LEAST_RATIO}")


def _arguments() -> argparse.Namespace:
    parser = turns.parser(__doc__)
    parser.add_argument("--pairs", type=int, default=20)
    parser.add_argument("--steps", type=int, default=20, help="steps of a block")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    return parser.parse_args()


if __name__ == "__main__":
    main()
