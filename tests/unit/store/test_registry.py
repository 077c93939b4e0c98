"""Versions never change, numbers are never given twice, and an alias goes where its last mover saw it go."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from eagleray.errors import StorageError, UserError
from eagleray.spec.base import Name
from eagleray.store import paths, registry, rollouts, safe_keys
from eagleray.store.objects import Objects, open_storage
from eagleray.store.records import Damaged
from eagleray.store.references import parse
from eagleray.store.registry import AliasChange, AliasMoved, VersionFile
from eagleray.store.rollouts import RolloutRecord
from tests.support.records import NOW
from tests.support.versions import FILES, GOLDEN, new_version, promote, put_files, version_record

# keys


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (paths.claim("demo", 3), "models/demo/versions/000003/claim"),
        (paths.version_record("demo", 3), "models/demo/versions/000003/version.json"),
        (paths.version_files("demo", 3), "models/demo/versions/000003/files"),
        (paths.golden("demo", 3), "models/demo/versions/000003/golden.jsonl"),
        (paths.link(paths.alias("demo", "champion"), 7), "models/demo/aliases/champion/000007.json"),
        (paths.link(paths.rollout("demo", "champion"), 7), "rollouts/demo/champion/000007.json"),
    ],
)
def test_keys(key: str, expected: str) -> None:
    assert key == expected == safe_keys.check(key)


@pytest.mark.parametrize("name", ["", "..", "a/b", "A", "a_1", "a\n", "-a", "a-", "a" * 41, "ü"], ids=repr)
def test_no_name(name: str) -> None:
    with pytest.raises(UserError, match="is no model name: a name is made of"):
        paths.registered(name)
    with pytest.raises(UserError, match="is no alias name: a name is made of"):
        paths.alias("demo", name)


def test_names_are_those_of_documents() -> None:
    (constraints,) = (each for each in Name.__metadata__ if hasattr(each, "max_length"))
    assert constraints.max_length == 40
    assert paths.is_name("a" * 40)
    assert not paths.is_name("a" * 41)


# versions


def test_a_version_is_written_whole(objects: Objects, tmp_path: Path) -> None:
    record = new_version(objects, metrics={"test": {"f1": 0.5}}, evaluated_on={"test": "b" * 64})

    assert registry.names(objects) == ["demo"]
    assert registry.versions(objects, "demo") == [record]
    assert registry.read(objects, "demo", 1) == record
    assert registry.golden(objects, record) == list(GOLDEN)
    assert registry.card(objects, record) == FILES["README.md"].decode()
    registry.fetch(objects, record, tmp_path / "all")
    assert {path: (tmp_path / "all" / path).read_bytes() for path in FILES} == FILES


@pytest.mark.parametrize(
    ("only", "expected"),
    [
        pytest.param("onnx/", ["onnx/fp32.onnx"], id="prefix"),
        pytest.param(("README", "model"), ["README.md", "model.safetensors"], id="prefixes"),
        pytest.param("nothing", [], id="none"),
    ],
)
def test_a_part_is_fetched(local: Objects, tmp_path: Path, only: Any, expected: list[str]) -> None:
    registry.fetch(local, new_version(local), tmp_path / "to", only=only)
    found = [path.relative_to(tmp_path / "to").as_posix() for path in (tmp_path / "to").rglob("*") if path.is_file()]
    assert sorted(found) == expected


def test_a_claim_is_no_version(objects: Objects) -> None:
    assert registry.claim(objects, "demo") == 1
    put_files(objects, "demo", 1, {"model.bin": b"weights"})

    assert registry.versions(objects, "demo") == []
    with pytest.raises(UserError, match="model demo has no version 1: none was registered to the end"):
        registry.read(objects, "demo", 1)
    with pytest.raises(UserError, match="model demo has no version: none"):
        registry.resolve(objects, parse("demo"))
    assert new_version(objects).version == 2


def test_threads_claim_different_numbers(objects: Objects) -> None:
    with ThreadPoolExecutor(8) as threads:
        numbers = list(threads.map(lambda _: registry.claim(objects, "demo"), range(24)))
    assert sorted(numbers) == list(range(1, 25))


def test_processes_register_different_versions(local: Objects) -> None:
    """Only processes show that the exclusiveness is that of the storage and not of a lock in this interpreter."""
    script = (
        "import sys; from eagleray.store.objects import open_storage; from tests.support.versions import new_version\n"
        "objects = open_storage(sys.argv[1])\n"
        "print(*(new_version(objects).version for _ in range(5)))"
    )
    command = [sys.executable, "-c", script, local.uri]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    numbers = " ".join(process.communicate(timeout=60)[0] for process in processes).split()
    assert sorted(map(int, numbers)) == list(range(1, 21))
    assert [record.version for record in registry.versions(local, "demo")] == list(range(1, 21))


class _Forgetful(Objects):
    """A server whose answer to each creation is lost, so that the client asks again."""

    def create(self, key: str, data: bytes) -> bool:
        super().create(key, data)
        return False


@pytest.fixture
def forgetful() -> Objects:
    objects = open_storage("memory://")
    objects.__class__ = _Forgetful
    return objects


def test_a_lost_answer_loses_nothing(forgetful: Objects) -> None:
    assert [registry.claim(forgetful, "demo") for _ in range(2)] == [1, 2]
    assert new_version(forgetful).version == 3
    assert promote(forgetful, 3).number == 1
    with pytest.raises(AliasMoved):
        registry.point(forgetful, "demo", "champion", 3, action="promote", by="", reason="", seen=0, now=NOW)
    record = RolloutRecord(name="demo", alias="champion", number=1, stable=3, phase="stable", at=NOW)
    assert [rollouts.write(forgetful, record) for _ in range(2)] == [True, False]


def test_a_commit_may_be_tried_again_and_changes_nothing(objects: Objects) -> None:
    record = new_version(objects)
    registry.commit(objects, record)
    with pytest.raises(StorageError, match="demo@1 exists with another content: a version never changes"):
        registry.commit(objects, record.model_copy(update={"run": "another"}))
    assert registry.read(objects, "demo", 1) == record


@pytest.mark.parametrize(
    ("content", "told"), [(None, "model.bin is missing"), (b"half", "model.bin has 4 bytes instead of 7")]
)
def test_only_what_is_stored_is_committed(local: Objects, content: bytes | None, told: str) -> None:
    registry.claim(local, "demo")
    if content is not None:
        put_files(local, "demo", 1, {"model.bin": content})
    record = version_record(files=(VersionFile(path="model.bin", size_bytes=7, sha256="0" * 64),))
    with pytest.raises(StorageError, match=f"{told}: register the model anew"):
        registry.commit(local, record)
    assert registry.versions(local, "demo") == []


@pytest.mark.parametrize("path", ["../x", "/x", "a//b", ""])
def test_no_file_leads_out_of_its_directory(path: str) -> None:
    with pytest.raises(ValueError, match="cannot be a file of a version"):
        VersionFile(path=path, size_bytes=1, sha256="")


def _lose(objects: Objects, key: str) -> None:
    objects.delete([key])


def _change(objects: Objects, key: str) -> None:
    objects.put(key, b"WEIGHTS")


@pytest.mark.parametrize(
    ("damage", "told"), [(_lose, "there is no .*model.safetensors"), (_change, "model.safetensors is damaged")]
)
def test_what_is_fetched_is_verified(
    objects: Objects, tmp_path: Path, damage: Callable[[Objects, str], None], told: str
) -> None:
    record = new_version(objects)
    damage(objects, f"{paths.version_files('demo', 1)}/model.safetensors")
    with pytest.raises(Damaged, match=told):
        registry.fetch(objects, record, tmp_path / "to")
    assert not (tmp_path / "to" / "model.safetensors").exists()


@pytest.mark.parametrize("content", [b"", b"{}\n", None], ids=["too-few", "no-rows", "missing"])
def test_damaged_golden_rows(local: Objects, content: bytes | None) -> None:
    record = new_version(local)
    key = paths.golden("demo", 1)
    local.delete([key])
    if content is not None:
        local.put(key, content)
    with pytest.raises(Damaged, match=r"versions/000001/golden.jsonl is (missing or )?damaged"):
        registry.golden(local, record)


def test_a_version_without_golden_rows_and_card(local: Objects) -> None:
    record = new_version(local, files={"model.bin": b""}, num_golden=0)
    assert registry.golden(local, record) == []
    assert registry.card(local, record) == ""


def test_a_damaged_record_hides_only_itself(local: Objects, caplog: pytest.LogCaptureFixture) -> None:
    first, second = new_version(local), new_version(local)
    local.put(paths.version_record("demo", 2), b"{")
    assert registry.versions(local, "demo") == [first]
    assert "a version is passed over" in caplog.text
    assert registry.resolve(local, parse("demo")) == first
    with pytest.raises(Damaged):
        registry.resolve(local, parse(f"demo@{second.version}"))


# references


def test_resolve(objects: Objects) -> None:
    first, second, third = (new_version(objects) for _ in range(3))
    promote(objects, 2)
    assert registry.resolve(objects, parse("demo")) == third
    assert registry.resolve(objects, parse("demo@1")) == first
    assert registry.resolve(objects, parse("demo@champion")) == second


@pytest.mark.parametrize(
    ("reference", "told"),
    [
        ("dem", r"there is no model 'dem' on .*: did you mean demo\? There is: demo, other"),
        ("dem@3", r"there is no model 'dem' on"),
        ("dem@champion", r"there is no model 'dem' on"),
        ("demo@3", r"model demo has no version 3: there is 1, 2"),
        ("demo@champio", r"there is no alias 'champio' of model demo: did you mean champion\? There is: champion"),
        ("other@x", r"no alias 'x' of model other, nor any other: `eagleray models promote other@VERSION --alias x`"),
    ],
)
def test_what_is_not_found_is_told_with_what_is_there(local: Objects, reference: str, told: str) -> None:
    for name in ("demo", "demo", "other"):
        new_version(local, name)
    promote(local, 1)
    with pytest.raises(UserError, match=told):
        registry.resolve(local, parse(reference))


def test_an_empty_registry(objects: Objects) -> None:
    assert registry.names(objects) == registry.versions(objects, "demo") == []
    assert registry.aliases(objects, "demo") == {}
    with pytest.raises(UserError, match=r"no model 'demo' on .*, nor any other: .*register RUN"):
        registry.resolve(objects, parse("demo"))


# aliases


def test_an_alias_keeps_its_history(objects: Objects) -> None:
    for _ in range(2):
        new_version(objects)
    first, second = promote(objects, 1), promote(objects, 2)
    other = promote(objects, 1, alias="canary")

    assert (first.number, first.version, first.previous) == (1, 1, None)
    assert (second.number, second.version, second.previous) == (2, 2, 1)
    assert registry.history(objects, "demo", "champion") == [first, second]
    assert registry.current(objects, "demo", "champion") == second
    assert registry.aliases(objects, "demo") == {"champion": second, "canary": other}


def test_who_decided_on_what_is_no_longer_so_is_refused(objects: Objects) -> None:
    for _ in range(2):
        new_version(objects)
    first = promote(objects, 1)
    for seen in (0, 1):
        if seen == 1:
            promote(objects, 2)
        with pytest.raises(AliasMoved, match=r"champion of demo was given to version \d by me@here meanwhile"):
            registry.point(objects, "demo", "champion", 2, action="promote", by="", reason="", seen=seen, now=NOW)
    assert registry.history(objects, "demo", "champion")[0] == first


def test_an_alias_points_to_a_version_that_exists(objects: Objects) -> None:
    new_version(objects)
    with pytest.raises(UserError, match="model demo has no version 2: there is 1"):
        promote(objects, 2)
    with pytest.raises(UserError, match="'7' cannot be an alias: a number means a version"):
        promote(objects, 1, alias="7")
    assert registry.aliases(objects, "demo") == {}


def test_concurrent_moves_lose_nothing(objects: Objects) -> None:
    """Eight movers, each of whom looks and decides again until it has moved the alias: no move is lost or doubled."""
    for _ in range(8):
        new_version(objects, files={})

    def move(version: int) -> int:
        while True:
            try:
                return promote(objects, version).number
            except AliasMoved:
                continue

    with ThreadPoolExecutor(8) as threads:
        numbers = list(threads.map(move, range(1, 9)))

    history = registry.history(objects, "demo", "champion")
    assert sorted(numbers) == list(range(1, 9)) == [change.number for change in history]
    assert {change.version: change.number for change in history} == dict(zip(range(1, 9), numbers, strict=True))
    assert [change.previous for change in history] == [None, *(change.version for change in history[:-1])]


def _changes(text: str) -> list[AliasChange]:
    """`1 2 <1`: promoted 1 and 2, rolled back to 1."""
    return [
        AliasChange(
            name="demo",
            alias="champion",
            number=number,
            version=int(word.removeprefix("<")),
            action="rollback" if word.startswith("<") else "promote",
            at=NOW,
            by="",
        )
        for number, word in enumerate(text.split(), start=1)
    ]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ("", None),
        ("1", None),
        ("1 1", None),
        ("1 2", 1),
        ("1 2 3", 2),
        ("1 2 3 <2", 1),
        ("1 2 3 <2 <1", None),
        ("1 2 <1 3", 1),
        ("1 2 1", 2),
        ("1 2 1 <2", 1),
        ("1 2 3 3", 2),
        ("1 2 3 <1", None),
        ("1 2 <7", 2),
    ],
)
def test_where_a_rollback_goes(changes: str, expected: int | None) -> None:
    assert registry.version_before(_changes(changes)) == expected


# delete


def test_a_deleted_version_is_gone_and_its_number_with_it(objects: Objects) -> None:
    first, _ = new_version(objects), new_version(objects)
    registry.delete(objects, "demo", 2)
    registry.delete(objects, "demo", 2)

    assert registry.versions(objects, "demo") == [first]
    assert registry.stored(objects, "demo", 2) == []
    assert new_version(objects).version == 3


def test_leftovers_of_a_registration_are_deleted(objects: Objects) -> None:
    put_files(objects, "demo", registry.claim(objects, "demo"), FILES)
    assert len(registry.stored(objects, "demo", 1)) == len(FILES)
    registry.delete(objects, "demo", 1)
    assert registry.stored(objects, "demo", 1) == []
    assert registry.claim(objects, "demo") == 2


def test_a_version_with_an_alias_is_not_deleted(local: Objects) -> None:
    record = new_version(local)
    new_version(local)
    promote(local, 1)
    with pytest.raises(UserError, match=r"demo@1 has the alias champion: give that to another version first"):
        registry.delete(local, "demo", 1)
    assert registry.read(local, "demo", 1) == record
    promote(local, 2)
    registry.delete(local, "demo", 1)


@pytest.mark.parametrize(
    ("stable", "candidate", "told"),
    [(1, None, "is the stable version"), (2, 1, "is the candidate version"), (2, None, None)],
    ids=["stable", "candidate", "neither"],
)
def test_a_version_that_is_served_is_not_deleted(
    local: Objects, stable: int, candidate: int | None, told: str | None
) -> None:
    new_version(local)
    record = RolloutRecord(name="demo", alias="prod", number=1, stable=1, phase="stable", at=NOW)
    rollouts.write(local, record)
    rollouts.write(local, record.model_copy(update={"number": 2, "stable": stable, "candidate": candidate}))
    if told is None:
        registry.delete(local, "demo", 1)
        return
    with pytest.raises(UserError, match=rf"demo@1 {told} of the endpoint that follows prod"):
        registry.delete(local, "demo", 1)


# aliases that are removed


def _remove(objects: Objects, alias: str = "champion") -> AliasChange:
    return registry.remove_alias(objects, "demo", alias, by="me@here", reason="no more", now=NOW)


def test_a_removed_alias_points_nowhere_and_keeps_its_history(objects: Objects) -> None:
    new_version(objects)
    first = promote(objects, 1)
    removed = _remove(objects)

    assert (removed.action, removed.number, removed.version, removed.previous) == ("remove", 2, 1, 1)
    assert (removed.by, removed.reason) == ("me@here", "no more")
    assert registry.aliases(objects, "demo") == {}
    assert registry.histories(objects, "demo") == {"champion": [first, removed]}
    for look in (lambda: registry.current(objects, "demo", "champion"), lambda: _remove(objects)):
        with pytest.raises(UserError, match="the alias champion of model demo pointed to version 1 and was removed"):
            look()
    with pytest.raises(UserError, match="was removed by me@here"):
        registry.resolve(objects, parse("demo@champion"))


def test_a_removed_alias_is_given_anew_under_the_next_number(objects: Objects) -> None:
    for _ in range(2):
        new_version(objects)
    promote(objects, 1)
    _remove(objects)
    again = registry.point(objects, "demo", "champion", 2, action="promote", by="", reason="", seen=0, now=NOW)

    assert (again.number, again.version, again.previous) == (3, 2, None)
    assert registry.current(objects, "demo", "champion") == again
    assert registry.version_before(registry.history(objects, "demo", "champion")) == 1


def test_who_decided_on_an_alias_that_was_removed_meanwhile_is_told(objects: Objects) -> None:
    new_version(objects)
    seen = promote(objects, 1).number
    _remove(objects)
    with pytest.raises(AliasMoved, match="champion of demo was removed by me@here meanwhile"):
        registry.point(objects, "demo", "champion", 1, action="promote", by="", reason="", seen=seen, now=NOW)


def test_an_alias_that_never_was_is_not_removed(objects: Objects) -> None:
    new_version(objects)
    promote(objects, 1)
    with pytest.raises(UserError, match="did you mean champion"):
        _remove(objects, "champio")


def test_a_version_whose_alias_was_removed_may_be_deleted(local: Objects) -> None:
    """Also where an endpoint has followed it: nothing else would ever set the version free."""
    new_version(local)
    promote(local, 1)
    rollouts.write(local, RolloutRecord(name="demo", alias="champion", number=1, stable=1, phase="stable", at=NOW))
    with pytest.raises(UserError, match="has the alias champion"):
        registry.delete(local, "demo", 1)
    _remove(local)
    registry.delete(local, "demo", 1)
    assert registry.versions(local, "demo") == []
