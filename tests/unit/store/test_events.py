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


def test_a_writer_goes_on_after_what_is_there(objects: Objects) -> None:
    events.append(objects, "a-0001", kind="first", now=NOW)
    writer = events.Writer(objects, "a-0001")
    events.append(objects, "a-0001", kind="another's", now=NOW)

    for kind in ("mine", "mine, too"):
        writer.append(events.Event(kind=kind, at=NOW))

    assert [event.kind for event in events.read_events(objects, "a-0001")] == [
        "first",
        "another's",
        "mine",
        "mine, too",
    ]


@pytest.mark.parametrize("torn", [b"", b'{"kind": "tri', b"{}"], ids=["empty", "half", "no event"])
def test_a_torn_end_is_dropped(objects: Objects, torn: bytes) -> None:
    events.append(objects, "a-0001", kind="whole", now=NOW)
    objects.put(paths.event("a-0001", 2), torn)

    assert "runs/a-0001/events/000002.json is damaged" in events.drop_torn_end(objects, "a-0001")
    assert [event.kind for event in events.read_events(objects, "a-0001")] == ["whole"]
    assert events.drop_torn_end(objects, "a-0001") == ""


def test_what_is_damaged_in_the_middle_is_not_dropped(objects: Objects) -> None:
    objects.put(paths.event("a-0001", 1), b"{")
    events.append(objects, "a-0001", kind="whole", now=NOW)

    assert events.drop_torn_end(objects, "a-0001") == ""
    with pytest.raises(StorageError, match="is damaged"):
        events.read_events(objects, "a-0001")
