"""What a trial of several workers tells while they train."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from obstore.store import MemoryStore
from ray.exceptions import RayError

from eagleray.errors import StorageError
from eagleray.store import events
from eagleray.store.objects import Listing, Objects
from eagleray.train.attempt import Lost
from eagleray.train.session import Outcome
from eagleray.tune import nested
from tests.support.records import NOW

RUN = "trial-0-0001"
OUTCOME = Outcome(step=20, stop_reason=None)
LOST = Lost(RayError("killed"))


class Shaky(Objects):
    """A storage that does not answer some of the requests for a listing."""

    def __init__(self) -> None:
        super().__init__("memory://", MemoryStore())
        self.num_refused = 0

    def list(self, prefix: str = "") -> Listing:
        if self.num_refused:
            self.num_refused -= 1
            raise StorageError("away")
        return super().list(prefix)


class Workers:
    """Workers that write one event before each look, refusing the storage's listings at some looks."""

    def __init__(self, objects: Shaky, *, end: Outcome | Lost, refused_at: Iterable[int] = ()) -> None:
        self._objects, self._end, self._refused_at = objects, end, set(refused_at)
        self._told = iter((("started", {"total_steps": 20}), *(_evaluated(step) for step in (10, 20))))
        self._looks = 0
        self.is_abandoned = False

    def wait(self, timeout_s: float) -> Outcome | Lost | None:
        """See nested.Working."""
        told = next(self._told, None)
        if told is None:
            return self._end
        kind, fields = told
        events.append(self._objects, RUN, kind=kind, now=NOW, **fields)
        self._objects.num_refused = int(self._looks in self._refused_at)
        self._looks += 1
        return None

    def abandon(self) -> None:
        """See nested.Working."""
        self.is_abandoned = True


def _evaluated(step: int) -> tuple[str, dict[str, object]]:
    return "evaluated", {"step": step, "metrics": {"loss": step / 10}}


@pytest.mark.parametrize("end", [OUTCOME, LOST], ids=["finished", "lost"])
@pytest.mark.parametrize("refused_at", [(), (0,), (1, 2)], ids=["at-once", "one-look-in-vain", "two"])
def test_what_was_evaluated_is_told_once(end: Outcome | Lost, refused_at: tuple[int, ...]) -> None:
    objects = Shaky()
    workers = Workers(objects, end=end, refused_at=refused_at)
    found = nested.followed(workers, events.Reader(objects, RUN))

    told = []
    while True:
        try:
            told.append(next(found))
        except StopIteration as stopped:
            assert stopped.value == end
            break

    assert [(each.step, each.total_steps, each.is_last) for each in told] == [(10, 20, False), (20, 20, True)]
    assert workers.is_abandoned


def test_who_closes_it_ends_the_workers() -> None:
    objects = Shaky()
    workers = Workers(objects, end=OUTCOME)
    found = nested.followed(workers, events.Reader(objects, RUN))
    next(found)

    found.close()

    assert workers.is_abandoned
