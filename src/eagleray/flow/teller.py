"""How does somebody outside hear of a run while it goes on, and of its end, without the run being held up by them?"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from eagleray.errors import EaglerayError

AT_END_S = 30.0
"""How long one who does not answer is waited for once the run has ended."""
AGAIN_S = 2.0


class Teller:
    """A thread that tells at once, then every few seconds, and once more at the end."""

    def __init__(
        self,
        tell: Callable[[], None],
        *,
        every_s: float,
        on_trouble: Callable[[EaglerayError], None],
        name: str,
    ) -> None:
        """`tell` is called again where it raises; `on_trouble` hears of the first of several errors in a row."""
        self._tell, self._every_s, self._on_trouble = tell, every_s, on_trouble
        self._is_away = False
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)

    def begin(self) -> None:
        """Start to tell; the second time it does nothing."""
        if not self._thread.is_alive():
            self._thread.start()

    def close(self) -> bool:
        """Tell the end; False where it was not heard in time."""
        self._ends.set()
        self._thread.join()
        deadline = time.monotonic() + AT_END_S
        while not self._told():
            if time.monotonic() >= deadline:
                return False
            time.sleep(AGAIN_S)
        return True

    def _work(self) -> None:
        self._told()
        while not self._ends.wait(self._every_s):
            self._told()

    def _told(self) -> bool:
        try:
            self._tell()
        except EaglerayError as error:
            if not self._is_away:
                self._on_trouble(error)
            self._is_away = True
            return False
        self._is_away = False
        return True
