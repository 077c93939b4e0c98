"""Which document is to be looked at next? Each once, however often it was asked for, and never twice at once."""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections.abc import Callable, Iterable
from typing import Final

from eagleray.kube.kinds import Key

_IDLE_S: Final = 1.0


class WorkQueue:
    """Keys that wait, some of them for a time to come. For any number of threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._changed = threading.Condition()
        self._ready: dict[Key, None] = {}  # in the order in which they were asked for
        self._taken: dict[Key, bool] = {}  # whether it was asked for again in the meantime
        self._later: list[tuple[float, int, Key]] = []
        self._due: dict[Key, float] = {}
        self._numbers = itertools.count()
        self._is_closed = False

    def __len__(self) -> int:
        with self._changed:
            return len(self._ready)

    def add(self, keys: Iterable[Key]) -> None:
        """Look at these as soon as possible."""
        with self._changed:
            for key in keys:
                if key in self._taken:
                    self._taken[key] = True
                else:
                    self._ready[key] = None
            self._changed.notify_all()

    def add_after(self, key: Key, seconds: float) -> None:
        """Look at it then, or sooner where something happens."""
        with self._changed:
            at = self._clock() + seconds
            if at < self._due.get(key, float("inf")):
                self._due[key] = at
                heapq.heappush(self._later, (at, next(self._numbers), key))
            self._changed.notify_all()

    def take(self) -> Key | None:
        """The next one, once there is one; None where the queue is closed. `done` must follow."""
        with self._changed:
            while not self._is_closed:
                self._move_due()
                if self._ready:
                    key = next(iter(self._ready))
                    del self._ready[key]
                    self._taken[key] = False
                    return key
                self._changed.wait(self._wait_s())
            return None

    def done(self, key: Key) -> None:
        """It was looked at."""
        with self._changed:
            if self._taken.pop(key):
                self._ready[key] = None
                self._changed.notify_all()

    def clear(self) -> None:
        """Forget all that waits."""
        with self._changed:
            self._ready.clear()
            self._later.clear()
            self._due.clear()

    def close(self) -> None:
        """Let everybody who waits go."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def _move_due(self) -> None:
        while self._later and self._later[0][0] <= self._clock():
            at, _, key = heapq.heappop(self._later)
            if self._due.get(key) != at:
                continue  # it was asked for sooner since
            del self._due[key]
            if key in self._taken:
                self._taken[key] = True
            else:
                self._ready[key] = None

    def _wait_s(self) -> float:
        return min(_IDLE_S, max(0.0, self._later[0][0] - self._clock())) if self._later else _IDLE_S
