"""What did the user, or the system, ask this process for while a run goes on?"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


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

    @property
    def exit_code(self) -> int:
        """What a shell expects of a process that ends because of the signal."""
        return 128 + (self.received or signal.SIGINT)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.received is not None:
            raise KeyboardInterrupt
        self.received = number
