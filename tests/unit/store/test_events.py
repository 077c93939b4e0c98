"""Events stay in order, whoever writes them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from eagleray.errors import StorageError
from eagleray.store import events, paths
from eagleray.store.objects import Objects
from tests.support.records import NOW


def test_events_are_read_in_the_order_they_were_written(objects: Objects) -> None:
    assert events.read_events(objects, "a-0001") == []
    for number in range(11):
        events.append(
            objects, "a-0001", kind="evaluated", now=NOW + timedelta(seconds=number), step=number, metrics={"f1": 0.5}
        )
    found = events.read_events(objects, "a-0001")
    assert [event.fields["step"] for event in found] == list(range(11))
    assert found[0] == events.Event(kind="evaluated", at=NOW, fields={"step": 0, "metrics": {"f1": 0.5}})


def test_concurrent_writers_lose_nothing(objects: Objects) -> None:
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda number: events.append(objects, "a-0001", kind="x", now=NOW, number=number), range(16)))
    assert {event.fields["number"] for event in events.read_events(objects, "a-0001")} == set(range(16))


def test_a_damaged_event_is_named(objects: Objects) -> None:
    objects.put(paths.event("a-0001", 1), b"{")
    with pytest.raises(StorageError, match=r"runs/a-0001/events/000001.json is damaged"):
        events.read_events(objects, "a-0001")
