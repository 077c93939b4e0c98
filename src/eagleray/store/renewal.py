"""How does the holder of a lease keep it? By signs of life, as long as it is the newest."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from eagleray.errors import StorageError
from eagleray.store import lease, paths, records
from eagleray.store.lease import Clock, HeartbeatRecord, LeaseLost, LeaseRecord
from eagleray.store.objects import Objects

RENEW_EVERY_S = 5.0


@contextmanager
def renewed(
    objects: Objects,
    run: str,
    taken: LeaseRecord,
    *,
    on_trouble: Callable[[str], None],
    now: Clock = lambda: datetime.now(UTC),
    every_s: float = RENEW_EVERY_S,
) -> Iterator[Renewal]:
    """Give signs of life while the body runs, then release the lease.

    `on_trouble` is told, in another thread, why a sign could not be given: the first time, and when the reason changes.
    """
    renewal = Renewal(objects, run, taken, on_trouble=on_trouble, now=now)
    ended = threading.Event()

    def renew() -> None:
        while renewal.beat() and not ended.wait(every_s):
            pass

    thread = threading.Thread(target=renew, name="lease", daemon=True)
    thread.start()
    try:
        yield renewal
    finally:
        ended.set()
        thread.join()
        renewal.release()


class Renewal:
    """A lease that is kept."""

    def __init__(
        self, objects: Objects, run: str, taken: LeaseRecord, *, on_trouble: Callable[[str], None], now: Clock
    ) -> None:
        self.lost = threading.Event()
        """Set once another has the run."""
        self._objects, self._run, self._lease = objects, run, taken
        self._on_trouble, self._now = on_trouble, now
        self._count = 0
        self._told = ""
        self._lock = threading.Lock()  # else a sign for the old number finds the new one and takes it for another's

    @property
    def number(self) -> int:
        """The number of the newest attempt."""
        return self._lease.number

    def succeed(self) -> LeaseRecord:
        """Take the next number, for a new attempt. Raises LeaseLost."""
        with self._lock:
            self._lease = lease.succeed(self._objects, self._run, self._lease, now=self._now)
            return self._lease

    def beat(self) -> bool:
        """Give a sign of life; False where the lease is lost."""
        try:
            with self._lock:
                lease.check(self._objects, self._run, self.number)
                self._put(is_released=False)
        except LeaseLost as error:
            self.lost.set()
            self._tell(error)
        except StorageError as error:  # tried again at the next sign
            self._tell(error)
        else:
            self._told = ""
        return not self.lost.is_set()

    def release(self) -> None:
        """Say that the holder is done, so that the next need not watch for it."""
        if self.lost.is_set():
            return
        try:
            self._put(is_released=True)
        except StorageError as error:  # the next one watches, no more
            self._tell(error)

    def _put(self, *, is_released: bool) -> None:
        self._count += 1
        heartbeat = HeartbeatRecord(count=self._count, at=self._now(), is_released=is_released)
        self._objects.put(paths.heartbeat(self._run, self.number), records.dump(heartbeat))

    def _tell(self, error: StorageError) -> None:
        if str(error) != self._told:
            self._told = str(error)
            self._on_trouble(self._told)
