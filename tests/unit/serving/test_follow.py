"""What is served at the start, and by which record."""

from __future__ import annotations

from typing import Any

import pytest

from eagleray.errors import UserError
from eagleray.serving import follow
from eagleray.serving.follow import Desired
from eagleray.spec.serving import ServedModelSpec
from eagleray.store import records, registry, rollouts
from eagleray.store.objects import Objects, open_storage
from eagleray.store.references import Reference
from eagleray.store.rollouts import RolloutRecord
from tests.support.records import NOW
from tests.support.versions import new_version, promote

CHAMPION = Reference("demo", alias="champion")


@pytest.fixture
def objects() -> Objects:
    """Three versions; the second has the alias."""
    found = open_storage("memory://")
    for _ in range(3):
        new_version(found)
    promote(found, 2)
    return found


def _models(**models: str) -> list[ServedModelSpec]:
    return [ServedModelSpec(name=name, model=model) for name, model in models.items()]


def _record(phase: Any, number: int = 1, **changes: Any) -> RolloutRecord:
    fields: dict[str, Any] = {"stable": 2, "facts": {"change": 1}, **changes}
    return RolloutRecord(name="demo", alias="champion", number=number, phase=phase, at=NOW, **fields)


@pytest.mark.parametrize(
    ("model", "version"),
    [("demo", 3), ("demo@1", 1), ("demo@3", 3), ("demo@champion", 2)],
)
def test_at_the_start(objects: Objects, model: str, version: int) -> None:
    assert follow.at_start(objects, _models(here=model)) == {"here": Desired(stable=version)}


def test_several_models_by_the_names_that_requests_say(objects: Objects) -> None:
    models = _models(a="demo@1", b="demo@champion", c="demo")

    assert {name: each.stable for name, each in follow.at_start(objects, models).items()} == {"a": 1, "b": 2, "c": 3}
    assert follow.registered_names(models) == {"a": "demo", "b": "demo", "c": "demo"}
    assert follow.followed(models) == {"b": CHAMPION}


@pytest.mark.parametrize(
    ("model", "message"),
    [
        pytest.param("other@champion", "other", id="model"),
        pytest.param("demo@9", "model demo has no version 9", id="version"),
        pytest.param("demo@challenger", "there is no alias 'challenger' of model demo", id="alias"),
        pytest.param("demo@0", "names no registered model", id="no-reference"),
    ],
)
def test_what_is_not_there(objects: Objects, model: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        follow.at_start(objects, _models(here=model))
    assert rollouts.newest(objects, "demo", "challenger") is None


def test_the_first_to_follow_writes_the_first_record(objects: Objects) -> None:
    first = follow.record_of(objects, CHAMPION)

    assert (first.number, first.stable, first.phase, first.facts) == (1, 2, "stable", {"change": 1})
    promote(objects, 3)
    assert follow.record_of(objects, CHAMPION) == first
    assert rollouts.history(objects, "demo", "champion") == [first]


def test_the_start_is_by_what_was_proven_and_not_by_the_alias(objects: Objects) -> None:
    follow.at_start(objects, _models(here="demo@champion"))
    promote(objects, 3)
    assert follow.alias_of(objects, CHAMPION).version == 3

    assert follow.at_start(objects, _models(here="demo@champion")) == {"here": Desired(stable=2)}
    rollouts.write(objects, _record("shifting", 2, candidate=3, share=0.5))
    assert follow.at_start(objects, _models(here="demo@champion")) == {"here": Desired(stable=2)}
    rollouts.write(objects, _record("stable", 3, stable=3))
    assert follow.at_start(objects, _models(here="demo@champion")) == {"here": Desired(stable=3)}


def test_a_proven_version_that_is_gone(objects: Objects) -> None:
    rollouts.write(objects, _record("stable", stable=7))

    with pytest.raises(UserError, match="demo@7 is served by champion and is gone: promote another version"):
        follow.at_start(objects, _models(here="demo@champion"))


def test_an_alias_that_was_removed_is_gone_on_with_and_not_begun_with(objects: Objects) -> None:
    follow.check_aliases(objects, _models(a="demo@1", b="demo@champion", c="demo"))
    served = follow.record_of(objects, CHAMPION)
    registry.remove_alias(objects, "demo", "champion", by="me@here", reason="", now=NOW)

    assert follow.at_start(objects, _models(here="demo@champion")) == {"here": Desired(stable=2)}
    assert follow.record_of(objects, CHAMPION) == served
    change = follow.alias_of(objects, CHAMPION)
    assert (change.action, change.number, change.version) == ("remove", 2, 2)
    with pytest.raises(UserError, match=r"pointed to version 2 and was removed by me@here: `eagleray models promote"):
        follow.check_aliases(objects, _models(here="demo@champion"))


def test_nobody_begins_with_an_alias_that_was_removed(objects: Objects) -> None:
    registry.remove_alias(objects, "demo", "champion", by="me@here", reason="", now=NOW)

    with pytest.raises(UserError, match="was removed by me@here"):
        follow.at_start(objects, _models(here="demo@champion"))
    assert rollouts.newest(objects, "demo", "champion") is None


class _Late(Objects):
    """Another endpoint writes the first record just before ours."""

    def create(self, key: str, data: bytes) -> bool:
        if key.startswith("rollouts/"):
            super().create(key, records.dump(_record("stable", stable=1)))
        return super().create(key, data)


def test_of_two_that_begin_at_once_one_writes(objects: Objects) -> None:
    objects.__class__ = _Late

    assert follow.record_of(objects, CHAMPION).stable == 1
    assert len(rollouts.history(objects, "demo", "champion")) == 1


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        pytest.param(_record("stable"), Desired(2), id="stable"),
        pytest.param(_record("rolled-back"), Desired(2), id="rolled-back"),
        pytest.param(_record("proving", candidate=3), Desired(2), id="proving-is-another-process"),
        pytest.param(_record("loading", candidate=3), Desired(2, 3), id="loading"),
        pytest.param(_record("shadow", candidate=3), Desired(2, 3, has_shadow=True), id="shadow"),
        pytest.param(_record("shifting", candidate=3, share=0.5), Desired(2, 3, share=0.5), id="shifting"),
    ],
)
def test_desired(record: RolloutRecord, expected: Desired) -> None:
    assert follow.desired(record) == expected
