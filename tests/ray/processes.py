"""Commands run by a test, and every process they started: all carry the test's mark in their environment."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

MARK = "EAGLERAY_TEST_MARK"
WORKER = "RayTrainWorker"  # what Ray calls these processes
SCRIPTS = Path(sys.executable).parent


@dataclass(frozen=True)
class Command:
    """A command that runs in a process group of its own, as from a terminal, with its output in files."""

    process: subprocess.Popen[bytes]
    out_file: Path
    err_file: Path

    @property
    def out(self) -> str:
        return self.out_file.read_text(encoding="utf-8")

    @property
    def err(self) -> str:
        return self.err_file.read_text(encoding="utf-8")

    def wait(self, *, timeout_s: float = 180.0) -> int:
        """Return the exit code."""
        try:
            return self.process.wait(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.process.args} does not end:\n{self.out}\n{self.err}") from None

    def wait_for(self, text: str, *, timeout_s: float = 120.0) -> None:
        """Return once the output has `text`."""
        deadline = time.monotonic() + timeout_s
        while text not in self.out + self.err:
            assert self.process.poll() is None, f"ended before {text!r}:\n{self.out}\n{self.err}"
            assert time.monotonic() < deadline, f"no {text!r}:\n{self.out}\n{self.err}"
            time.sleep(0.1)

    def interrupt(self) -> None:
        """What Ctrl-C does: a signal to the whole process group."""
        os.killpg(self.process.pid, signal.SIGINT)


class Shell:
    """Starts commands in an environment and a folder of the test's own."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder = folder
        self.environment = environment
        self._commands: list[Command] = []

    def start(self, *arguments: str, **environment: str) -> Command:
        """Start a command of this virtual environment."""
        out, err = (self.folder / f"{len(self._commands)}.{name}" for name in ("out", "err"))
        with out.open("wb") as out_stream, err.open("wb") as err_stream:
            process = subprocess.Popen(
                arguments,
                cwd=self.folder,
                env={**self.environment, **environment},
                stdin=subprocess.DEVNULL,
                stdout=out_stream,
                stderr=err_stream,
                start_new_session=True,
            )
        self._commands.append(Command(process, out, err))
        return self._commands[-1]

    def workers(self) -> list[psutil.Process]:
        """The Ray Train workers of the commands."""
        return [process for process in self.left_over() if WORKER in process.name()]

    def left_over(self) -> list[psutil.Process]:
        """Every process that still lives of those that the commands have started."""
        return _marked(self.environment[MARK])

    def close(self) -> None:
        """Kill what is left over."""
        while left := self.left_over():
            for process in left:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
        for command in self._commands:
            command.wait()


@contextmanager
def shell(folder: Path, **environment: str) -> Iterator[Shell]:
    """A shell of a user who has set nothing of Ray's; on leaving, what its commands have started is killed.

    The home is the test's own.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "DS_", "OMP_"))}
    home = folder / "home"
    home.mkdir(exist_ok=True)
    own = {
        "HOME": str(home),
        "PATH": f"{SCRIPTS}{os.pathsep}{os.environ['PATH']}",
        MARK: uuid.uuid4().hex,
    }
    opened = Shell(folder, {**kept, **own, **environment})
    try:
        yield opened
    finally:
        opened.close()


def below_this_one(name: str) -> list[psutil.Process]:
    """The processes started by this one, as those of the session's Ray, that have `name` in theirs."""
    return [each for each in psutil.Process().children(recursive=True) if name in each.name()]


def wait_until(is_done: Callable[[], bool], *, timeout_s: float = 20.0, every_s: float = 0.2) -> bool:
    """Whether it is done in time."""
    deadline = time.monotonic() + timeout_s
    while not is_done():
        if time.monotonic() > deadline:
            return False
        time.sleep(every_s)
    return True


def _marked(mark: str) -> list[psutil.Process]:
    return [process for process in psutil.process_iter() if _environment(process).get(MARK) == mark]


def _environment(process: psutil.Process) -> dict[str, str]:
    try:
        return process.environ() if process.status() != psutil.STATUS_ZOMBIE else {}
    except psutil.Error:
        return {}
