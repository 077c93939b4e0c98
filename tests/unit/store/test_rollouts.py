"""Of several that write the next record of a rollout one does, and the others know."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from eagleray.errors import StorageError, UserError
from eagleray.store import paths, rollouts
from eagleray.store.objects import Objects
from eagleray.store.rollouts import HeardRecord, RolloutRecord
from tests.support.records import NOW


def _record(number: int = 1, **changes: Any) -> RolloutRecord:
    fields: dict[str, Any] = {
        "name": "demo",
        "alias": "champion",
        "number": number,
        "stable": 1,
        "phase": "stable",
        "at": NOW,
        **changes,
    }
    return RolloutRecord(**fields)


def test_the_highest_number_counts(objects: Objects) -> None:
    assert rollouts.newest(objects, "demo", "champion") is None
    assert rollouts.history(objects, "demo", "champion") == []
    written = [_record(1), _record(2, candidate=2, phase="proving"), _record(3, facts={"errors": {"2": 0.5}})]

    assert all(rollouts.write(objects, record) for record in written)

    assert rollouts.newest(objects, "demo", "champion") == written[-1]
    assert rollouts.history(objects, "demo", "champion") == written
    assert rollouts.newest(objects, "demo", "other") is None


def test_a_number_is_given_once(objects: Objects) -> None:
    assert rollouts.write(objects, _record())
    assert not rollouts.write(objects, _record(reason="another"))
    assert not rollouts.write(objects, _record())  # the same words of another process are another's, too


def test_one_of_many_writes(objects: Objects) -> None:
    with ThreadPoolExecutor(8) as threads:
        done = list(threads.map(lambda number: rollouts.write(objects, _record(facts={"by": number})), range(8)))

    assert sum(done) == 1
    assert [record.facts["by"] for record in rollouts.history(objects, "demo", "champion")] == [done.index(True)]


def test_what_holds_for_a_model(local: Objects) -> None:
    assert rollouts.of_model(local, "demo") == []
    for record in (_record(), _record(alias="canary", stable=5), _record(2, stable=2), _record(name="other")):
        rollouts.write(local, record)
    local.put("rollouts/demo/No Alias/000001.json", b"")

    assert [(each.alias, each.stable) for each in rollouts.of_model(local, "demo")] == [("canary", 5), ("champion", 2)]


def test_a_damaged_record_is_named(local: Objects) -> None:
    local.put(paths.link(paths.rollout("demo", "champion"), 1), b"{")
    with pytest.raises(StorageError, match=r"rollouts/demo/champion/000001.json is damaged"):
        rollouts.newest(local, "demo", "champion")


@pytest.mark.parametrize(("name", "alias"), [("../runs", "champion"), ("demo", "a/b"), ("demo", "3")])
def test_no_name_leads_out_of_the_storage(local: Objects, name: str, alias: str) -> None:
    with pytest.raises(UserError, match=r"is no (model|alias) name|cannot be an alias"):
        rollouts.newest(local, name, alias)


@pytest.mark.parametrize("changes", [{"share": 1.5}, {"number": 0}, {"phase": "done"}], ids=repr)
def test_no_record(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        _record(**changes)


def test_the_last_sign_of_life_is_no_step_of_a_rollout(objects: Objects) -> None:
    assert rollouts.heard(objects, "demo", "champion") is None
    assert rollouts.write(objects, _record(1))
    for num_replicas in (1, 2):
        told = HeardRecord(at=NOW, num_replicas=num_replicas, loaded={1: num_replicas})
        rollouts.tell(objects, "demo", "champion", told)

    assert rollouts.heard(objects, "demo", "champion") == told
    assert rollouts.history(objects, "demo", "champion") == [_record(1)]
    assert rollouts.of_model(objects, "demo") == [_record(1)]


@pytest.mark.parametrize(
    ("seconds", "num_replicas", "is_due"),
    [
        pytest.param(5, 2, False, id="just-told"),
        pytest.param(15, 2, True, id="a-while-ago"),
        pytest.param(1, 1, True, id="a-replica-is-gone"),
    ],
)
def test_when_it_is_time_to_tell(seconds: int, num_replicas: int, is_due: bool) -> None:
    told = HeardRecord(at=NOW, num_replicas=2, loaded={1: 2})
    heard = HeardRecord(at=NOW + timedelta(seconds=seconds), num_replicas=num_replicas, loaded={1: 2})

    assert rollouts.is_due(heard, told) is is_due
    assert rollouts.is_due(heard, None)
