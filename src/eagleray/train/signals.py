"""What did the user, or the system, ask this process for while a run goes on?"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from eagleray.store.stops import Reason

_LOOK_INTERVAL_S = 0.1


class Signals:
    """The first SIGINT or SIGTERM is kept; a second raises KeyboardInterrupt."""

    def __init__(self) -> None:
        self.received: int | None = None

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Keep signals while the body runs. Outside of the main thread Python allows no handlers: then nothing is."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before: dict[int, Any] = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        for number in before:
            signal.signal(number, self._handle)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def come_within(self, seconds: float) -> bool:
        """Sleep so long; True, and earlier, where a signal has come.

        By looking again and again: a handler that wakes a sleeper by an Event can meet the lock of that Event in the
        hands of the very thread that it interrupted.
        """
        deadline = time.monotonic() + seconds
        while self.received is None and (left_s := deadline - time.monotonic()) > 0:
            time.sleep(min(_LOOK_INTERVAL_S, left_s))
        return self.received is not None

    @property
    def reason(self) -> Reason | None:
        """Why a run is to stop; None while nobody has asked."""
        if self.received is None:
            return None
        return "interrupt" if self.received == signal.SIGINT else "preemption"

    @property
    def exit_code(self) -> int:
        """What a shell expects of a process that ends because of the signal."""
        return 128 + (self.received or signal.SIGINT)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.received is not None:
            raise KeyboardInterrupt
        self.received = number
