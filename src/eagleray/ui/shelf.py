"""What is kept between two requests, so that many pages that ask every few seconds cost the storage little."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

KEPT = 64

Kept = TypeVar("Kept")
Answer = TypeVar("Answer")


@dataclass(slots=True)
class _Place(Generic[Kept]):
    value: Kept
    lock: threading.Lock = field(default_factory=threading.Lock)


class Shelf(Generic[Kept]):
    """Keeps what was used last, each used by one thread at a time."""

    def __init__(self, make: Callable[[str], Kept], *, size: int = KEPT) -> None:
        self._make, self._size = make, size
        self._places: OrderedDict[str, _Place[Kept]] = OrderedDict()
        self._lock = threading.Lock()

    def use(self, name: str, do: Callable[[Kept], Answer]) -> Answer:
        """What `do` makes of that which is kept under a name; it is made at its first use."""
        with self._lock:
            place = self._places.get(name)
            if place is None:
                place = self._places[name] = _Place(self._make(name))
            self._places.move_to_end(name)
            if len(self._places) > self._size:
                self._places.popitem(last=False)
        with place.lock:
            return do(place.value)


class Answers:
    """Answers that are as good for the next who asks, for a moment."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._shelf: Shelf[list[Any]] = Shelf(lambda name: [float("-inf"), None])  # when it was made, and what it is

    def get(self, name: str, make: Callable[[], Any], *, for_s: float) -> Any:
        """The answer of this name; of several who ask at once one makes it, and the others wait for it."""

        def fresh(kept: list[Any]) -> Any:
            if self._clock() - kept[0] >= for_s:
                kept[:] = [self._clock(), make()]
            return kept[1]

        return self._shelf.use(name, fresh)
