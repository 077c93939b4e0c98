"""How do processes train in turn? Each builds its model and waits; in its turn it takes a few steps, then sleeps."""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import reduce
from multiprocessing.connection import Connection
from operator import add
from typing import Any, Protocol

from bench.figures import Figures

STEPS_A_TURN = 5


class Setup(Protocol):
    """What every contender works on: a frozen dataclass of the script."""

    @property
    def num_threads(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Round:
    """What a contender did in one turn."""

    samples: int
    cells: int  # tokens with padding
    targets: int
    wall_s: float
    cpu_s: float  # of all threads

    def __add__(self, other: Round) -> Round:
        return Round(*(getattr(self, name) + getattr(other, name) for name in Round.__slots__))

    @property
    def figures(self) -> dict[str, float]:
        """By second and by sample."""
        targets = {"targets_per_s": self.targets / self.wall_s} if self.targets else {}
        return {
            "samples_per_s": self.samples / self.wall_s,
            "cells_a_sample": self.cells / self.samples,
            "cpu_s_a_thousand": 1000 * self.cpu_s / self.samples,
            **targets,
        }


class Turns:
    """A contender's side: it calls `step` after each of its steps, and sleeps there until its next turn."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self._counted = [0, 0, 0]

    def begin(self) -> None:
        """Say that all is built, and wait for the first turn."""
        self._pipe.send(None)
        self._wait()

    def count(self, *, samples: int, cells: int, targets: int = 0) -> None:
        """Note a batch."""
        self._counted = [a + b for a, b in zip(self._counted, (samples, cells, targets), strict=True)]

    def step(self) -> bool:
        """Note a step; ends the round where it was the last. False: there is no other round."""
        self._left -= 1
        if self._left:
            return True
        wall_s, cpu_s = time.perf_counter() - self._wall, time.process_time() - self._cpu
        self._pipe.send(Round(*self._counted, wall_s, cpu_s))
        return self._wait()

    def _wait(self) -> bool:
        self._left = self._pipe.recv()
        self._counted = [0, 0, 0]
        self._wall, self._cpu = time.perf_counter(), time.process_time()
        return self._left > 0


Contender = Callable[[Any, Turns], None]


def take(pipes: Mapping[str, Connection], *, steps: int, rounds: int) -> Figures:
    """Rounds of so many steps each, in turns of a few: a change of the machine's speed then meets all of them."""
    found: dict[str, dict[str, list[float]]] = {name: {} for name in pipes}
    for number in range(1, rounds + 1):
        done: dict[str, list[Round]] = {name: [] for name in pipes}
        for begun in range(0, steps, STEPS_A_TURN):
            for name, pipe in pipes.items():
                done[name].append(_turn(pipe, min(STEPS_A_TURN, steps - begun)))
        for name, turns in done.items():
            figures = reduce(add, turns).figures
            for quantity, value in figures.items():
                found[name].setdefault(quantity, []).append(value)
            print(f"round {number}, {name}: {figures['samples_per_s']:.4g} samples/s", flush=True)
    return found


@contextmanager
def waiting(contenders: Mapping[str, Contender], setup: Setup, *, warmup_steps: int) -> Iterator[dict[str, Connection]]:
    """Start one after the other, and warm each up; yields the pipes by which each is told to go on."""
    context = multiprocessing.get_context("spawn")
    pipes: dict[str, Connection] = {}
    processes = []
    for name, contender in contenders.items():
        pipes[name], theirs = context.Pipe()
        process = context.Process(target=_contend, args=(contender, setup, theirs), daemon=True)
        process.start()
        theirs.close()  # so that the end of the process is seen as the end of the pipe
        processes.append(process)
        pipes[name].recv()
        _turn(pipes[name], warmup_steps)
    yield pipes
    for pipe, process in zip(pipes.values(), processes, strict=True):
        pipe.send(0)
        process.join(timeout=60)


def _contend(contender: Contender, setup: Setup, pipe: Connection) -> None:
    """The process of a contender."""
    os.environ["DS_ACCELERATOR"] = "cpu"
    warnings.filterwarnings("ignore")
    sys.stdout = sys.stderr  # where DeepSpeed and the Trainer may print
    import torch

    from eagleray.model import quiet

    torch.set_num_threads(setup.num_threads)
    quiet.silence()
    contender(setup, Turns(pipe))


def _turn(pipe: Connection, steps: int) -> Round:
    pipe.send(steps)
    return pipe.recv()
