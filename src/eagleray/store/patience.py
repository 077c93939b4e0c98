"""How long an operation waits for a storage that does not answer: a disk that comes back, a server that restarts."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import count
from typing import TypeVar

from eagleray.errors import StorageError
from eagleray.store.lease import LeaseLost
from eagleray.store.objects import ObjectMissing
from eagleray.store.records import Damaged, Newer

GIVE_UP_AFTER_S = 120.0
_FIRST_WAIT_S = 0.5
_LONGEST_WAIT_S = 10.0
_ANSWERS = (LeaseLost, ObjectMissing, Damaged, Newer)
"""What the storage says and will say again."""

T = TypeVar("T")


def persist(
    operation: Callable[[], T],
    *,
    give_up_after_s: float = GIVE_UP_AFTER_S,
    on_trouble: Callable[[StorageError], None],
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> T:
    """Call `operation`, again and again while the storage fails it; the operation must bear to be done twice.

    `on_trouble` is told the first error, and each that reads otherwise than the one before.

    Raises:
        StorageError: the last one, when so long has passed since the first; an answer (LeaseLost, ObjectMissing,
            Damaged, Newer) at once.
    """
    give_up_at = told = None
    for tries in count():
        try:
            return operation()
        except _ANSWERS:
            raise
        except StorageError as error:
            now = clock()
            give_up_at = now + give_up_after_s if give_up_at is None else give_up_at
            if now >= give_up_at:
                raise
            if str(error) != told:
                told = str(error)
                on_trouble(error)
            # The exponent is bounded: 2.0 ** 1100 is an OverflowError, for someone who waits for days.
            sleep(min(_FIRST_WAIT_S * 2 ** min(tries, 10), _LONGEST_WAIT_S, give_up_at - now))
    raise AssertionError("unreachable")
