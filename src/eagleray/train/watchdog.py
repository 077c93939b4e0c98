"""Does this worker still make progress? If not for long, its stacks are written down and its process is ended."""

from __future__ import annotations

import faulthandler
import os
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

EXIT_HUNG = 70
"""The exit code of a process that the watchdog ended."""
GRACE_S = 5.0
"""Between the first worker's stacks and its end, which ends the group: the others write theirs in this time."""


@dataclass(frozen=True, slots=True)
class Hang:
    """What a worker was at when it stopped making progress."""

    num_marks: int  # how far it came: the worker with the fewest fell behind first
    doing: str
    silent_s: float
    stacks: str  # of all threads


class Watchdog:
    """Watches for marks in a thread; a worker blocked in a collective cannot be reached otherwise.

    Time is counted in rounds of the thread, not by the clock: a process that was stopped and goes on, or a laptop that
    slept, has not hung.
    """

    def __init__(
        self,
        *,
        timeout_s: float,
        on_hang: Callable[[Hang], None],
        end: Callable[[int], object] = os._exit,
        grace_s: float = GRACE_S,
    ) -> None:
        self._timeout_s, self._on_hang, self._end, self._grace_s = timeout_s, on_hang, end, grace_s
        self._round_s = min(1.0, timeout_s / 10)
        self._num_marks = 0
        self._doing = ""
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def mark(self, doing: str) -> None:
        """Say that there was progress, and what comes next."""
        self._num_marks += 1
        self._doing = doing

    def close(self) -> None:
        """Stop watching."""
        self._closing.set()

    def _watch(self) -> None:
        seen, silent_s = -1, 0.0
        while not self._closing.wait(self._round_s):
            silent_s = silent_s + self._round_s if seen == self._num_marks else 0.0
            seen = self._num_marks
            if silent_s >= self._timeout_s:
                self._give_up(silent_s)
                return

    def _give_up(self, silent_s: float) -> None:
        try:
            self._on_hang(Hang(self._num_marks, self._doing, silent_s, _stacks()))
            time.sleep(self._grace_s)
        finally:
            if not self._closing.is_set():  # it came back to life in the meantime
                self._end(EXIT_HUNG)


def _stacks() -> str:
    """Of all threads of this process, also of one that is blocked in C code."""
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as file:
        faulthandler.dump_traceback(file=file, all_threads=True)
        file.seek(0)
        return file.read()
