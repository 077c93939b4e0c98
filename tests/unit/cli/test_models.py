"""`eagleray models`."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from eagleray.cli.models import app
from eagleray.errors import StorageError, UserError
from eagleray.store import paths, registry, rollouts
from eagleray.store.objects import Objects, open_storage
from eagleray.store.registry import OnnxRecord
from eagleray.store.rollouts import RolloutRecord
from tests.support.records import NOW
from tests.support.versions import FILES, new_version, promote, put_files

AT_LEAST = {"metric": "f1", "at_least": 0.9}
BETTER = {"metric": "f1", "better_by": 0.1}


@pytest.fixture
def objects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Objects:
    monkeypatch.setenv("EAGLERAY_STORAGE", str(tmp_path / "storage"))
    return open_storage(str(tmp_path / "storage"))


def _call(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def _out(*arguments: str, exit_code: int = 0) -> str:
    result = _call(*arguments)
    assert result.exit_code == exit_code, result.output
    return result.stdout


def _json(*arguments: str, exit_code: int = 0) -> Any:
    return json.loads(_out(*arguments, "--json", exit_code=exit_code))


def _told(*arguments: str) -> str:
    result = _call(*arguments)
    assert isinstance(result.exception, UserError), result.output
    return str(result.exception)


def _alias(objects: Objects, alias: str = "champion") -> int:
    return registry.aliases(objects, "demo")[alias].version


# list


def test_list_json(objects: Objects) -> None:
    assert _json("list") == []
    new_version(objects, metrics={"test": {"f1": 0.5}})
    new_version(objects)
    new_version(objects, "other")
    promote(objects, 1)
    assert _json("list") == [
        {
            "name": "demo",
            "versions": [
                {
                    "version": 1,
                    "run": "demo-0001",
                    "metrics": {"test": {"f1": 0.5}},
                    "created_at": "2026-01-02T03:04:05Z",
                },
                {"version": 2, "run": "demo-0002", "metrics": {}, "created_at": "2026-01-02T03:04:05Z"},
            ],
            "aliases": {"champion": 1},
        },
        {
            "name": "other",
            "versions": [{"version": 1, "run": "other-0001", "metrics": {}, "created_at": "2026-01-02T03:04:05Z"}],
            "aliases": {},
        },
    ]


def test_what_was_not_registered_to_the_end_is_not_listed(objects: Objects) -> None:
    registry.claim(objects, "demo")
    assert _json("list") == []
    result = _call("list")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "no models in" in result.stderr


def test_list_fits_80_columns(objects: Objects) -> None:
    name = "n" * 40
    new_version(objects, name, metrics={"test": {"matthews_correlation": 0.51234, "confusion": [[1]], "loss": 2}})
    promote(objects, 1, name=name)
    shown = _out("list")
    assert max(map(len, shown.splitlines())) <= 80
    assert "0.5123" in shown
    assert "2026-01-02 03:04" in shown
    assert "champion" in shown


def test_a_storage_that_is_not_there_is_not_created(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert _json("list", "--storage", "there") == []
    assert f"there is no directory {tmp_path}/there: give" in _told("show", "demo", "--storage", "there")
    assert list(tmp_path.iterdir()) == []


# show


def test_show_json(objects: Objects) -> None:
    record = new_version(objects)
    change = promote(objects, 1)
    promote(objects, 1, alias="canary")
    new_version(objects)
    moved = promote(objects, 2, alias="canary")
    shown = _json("show", "demo@1")
    assert shown == {
        **record.model_dump(mode="json"),
        "aliases": ["champion"],
        "history": {
            "canary": [shown["history"]["canary"][0], moved.model_dump(mode="json")],
            "champion": [change.model_dump(mode="json")],
        },
        "card": FILES["README.md"].decode(),
    }
    assert _json("show", "demo")["version"] == 2
    assert _json("show", "demo@champion")["version"] == 1


def test_show(objects: Objects) -> None:
    onnx = {"int8": OnnxRecord(path="onnx/int8.onnx", size_bytes=1000, max_difference=0.0312, agreement=0.984375)}
    metrics = {"validation": {"f1": 0.5, "confusion": [[1]]}, "test": {"f1": 0.25}}
    new_version(objects, metrics=metrics, evaluated_on={"test": "e" * 64}, onnx=onnx)
    new_version(objects)
    promote(objects, 2)
    promote(objects, 1, action="rollback")
    shown = _out("show", "demo@1")
    lines = [line.split() for line in shown.splitlines()]
    assert max(map(len, shown.splitlines())) <= 80
    for expected in (
        ["version", "demo@1"],
        ["aliases", "champion"],
        ["run", "demo-0001,", "step", "10"],
        ["data", "f" * 16],
        ["test", "rows", "sha256", "e" * 16],
        ["packages", "python", "3.11.7,", "torch", "2.13.0"],
        ["golden", "rows", "1"],
        ["metric", "validation", "test"],
        ["f1", "0.5", "0.25"],
        ["champion", "2026-01-02", "03:04", "promote", "->", "2", "me@here"],
        ["champion", "2026-01-02", "03:04", "rollback", "2", "->", "1", "me@here"],
        ["source:", "some/model"],
        ["A", "model", "[of]", "words."],
    ):
        assert expected in lines
    assert "1.0 kB; same best label as PyTorch on 98.4% of the golden rows" in " ".join(shown.split())
    assert "model.safetensors" in shown


@pytest.mark.parametrize(
    ("reference", "told"),
    [
        ("Demo", "'Demo' names no registered model: give NAME"),
        ("dem", "there is no model 'dem' on"),
        ("demo@2", "model demo has no version 2: there is 1"),
        ("demo@champio", "did you mean champion?"),
    ],
)
def test_what_is_not_there_is_told_with_what_is(objects: Objects, reference: str, told: str) -> None:
    new_version(objects)
    promote(objects, 1)
    assert told in _told("show", reference)


# promote


def test_promote(objects: Objects) -> None:
    new_version(objects)
    new_version(objects)
    assert _out("promote", "demo@1") == "demo@champion is version 1 now, it is new\n"
    assert _out("promote", "demo@2", "--reason", "it is better").splitlines() == [
        "demo@champion is version 2 now, it was version 1",
        "to go back: eagleray models rollback demo --alias champion",
    ]
    newest = registry.current(objects, "demo", "champion")
    assert (newest.version, newest.previous, newest.action, newest.reason) == (2, 1, "promote", "it is better")
    assert "@" in newest.by


def test_promote_what_an_alias_means(objects: Objects) -> None:
    new_version(objects)
    new_version(objects)
    promote(objects, 1, alias="canary")
    _out("promote", "demo@canary", "--alias", "blue")
    assert _alias(objects, "blue") == 1


@pytest.mark.parametrize("force", [[], ["--force"]], ids=["plainly", "forced"])
def test_promote_what_has_the_alias(objects: Objects, force: list[str]) -> None:
    new_version(objects, gate=AT_LEAST)
    change = promote(objects, 1)
    assert _out("promote", "demo@1", *force) == "demo@champion is version 1 already: nothing to do\n"
    told = {"changed": False, "objections": [], "change": change.model_dump(mode="json")}
    assert _json("promote", "demo@1", *force) == told
    assert registry.history(objects, "demo", "champion") == [change]


def test_the_gate_refuses(objects: Objects) -> None:
    new_version(objects, metrics={"test": {"f1": 0.5}})
    new_version(objects, metrics={"test": {"f1": 0.8}}, gate=AT_LEAST)
    assert _out("promote", "demo@2", exit_code=1).splitlines() == [
        "not promoted: demo@2 does not pass the gate of its document; demo@champion stays without a version",
        "  f1 on test is 0.8, asked for is at least 0.9",
        "to promote it all the same: eagleray models promote demo@2 --alias champion --force --reason TEXT",
    ]
    change = promote(objects, 1)
    assert "demo@champion stays version 1\n" in _out("promote", "demo@2", exit_code=1)
    assert _json("promote", "demo@2", exit_code=1) == {
        "changed": False,
        "objections": ["f1 on test is 0.8, asked for is at least 0.9"],
        "change": change.model_dump(mode="json"),
    }
    assert registry.history(objects, "demo", "champion") == [change]


def test_the_gate_lets_pass(objects: Objects) -> None:
    rows = {"test": "a" * 64}
    new_version(objects, metrics={"test": {"f1": 0.8}}, evaluated_on=rows)
    new_version(objects, metrics={"test": {"f1": 0.9}}, evaluated_on=rows, gate=BETTER | AT_LEAST)
    promote(objects, 1)
    told = _json("promote", "demo@2")
    assert (told["changed"], told["objections"], told["change"]["version"]) == (True, [], 2)


def test_other_rows_are_an_objection(objects: Objects) -> None:
    new_version(objects, metrics={"test": {"f1": 0.1}}, evaluated_on={"test": "a" * 64})
    new_version(objects, metrics={"test": {"f1": 0.9}}, evaluated_on={"test": "b" * 64}, gate=BETTER)
    promote(objects, 1)
    assert "versions 2 and 1 were not evaluated on the same test rows" in _out("promote", "demo@2", exit_code=1)
    assert _alias(objects) == 1


def _lose_the_champion(objects: Objects) -> None:
    objects.delete([paths.version_record("demo", 1)])


def _damage_the_champion(objects: Objects) -> None:
    objects.put(paths.version_record("demo", 1), b"{")


@pytest.mark.parametrize("spoil", [_lose_the_champion, _damage_the_champion])
def test_a_champion_that_cannot_be_read_is_an_objection(objects: Objects, spoil: Any) -> None:
    new_version(objects)
    new_version(objects, metrics={"test": {"f1": 0.9}}, gate=BETTER)
    promote(objects, 1)
    spoil(objects)
    assert "not promoted" in _out("promote", "demo@2", exit_code=1)
    _out("promote", "demo@2", "--force")
    assert _alias(objects) == 2


def test_a_gate_that_is_not_understood_is_an_objection(objects: Objects) -> None:
    new_version(objects, gate={"metric": "f1", "at_lest": 0.9})
    assert "is no gate that this eagleray knows" in _out("promote", "demo@1", exit_code=1)


def test_force_is_written_down(objects: Objects) -> None:
    new_version(objects, metrics={"test": {"f1": 0.8}}, gate=AT_LEAST)
    assert _out("promote", "demo@1", "--force", "--reason", "new test rows").splitlines() == [
        "demo@champion is version 1 now, it is new",
        "  forced, though f1 on test is 0.8, asked for is at least 0.9",
    ]
    newest = registry.current(objects, "demo", "champion")
    assert newest.reason == "forced, though f1 on test is 0.8, asked for is at least 0.9: new test rows"


def test_force_without_need_is_no_force(objects: Objects) -> None:
    new_version(objects, metrics={"test": {"f1": 0.9}}, gate=AT_LEAST)
    _out("promote", "demo@1", "--force")
    assert registry.current(objects, "demo", "champion").reason == ""


def test_an_alias_is_no_number(objects: Objects) -> None:
    new_version(objects)
    assert "'2' cannot be an alias" in _told("promote", "demo@1", "--alias", "2")
    assert "'Blue' is no alias name" in _told("promote", "demo@1", "--alias", "Blue")


# rollback


def test_two_rollbacks_go_back_two_versions(objects: Objects) -> None:
    for version in (1, 2, 3):
        new_version(objects)
        promote(objects, version)
    assert _out("rollback", "demo").splitlines() == [
        "demo@champion is version 2 again, it was version 3",
        "to undo this: eagleray models promote demo@3 --alias champion",
    ]
    told = _json("rollback", "demo", "--reason", "worse")
    assert (told["version"], told["previous"], told["action"], told["reason"]) == (1, 2, "rollback", "worse")
    assert "demo@champion had no version before 1" in _told("rollback", "demo")
    assert [change.version for change in registry.history(objects, "demo", "champion")] == [1, 2, 3, 2, 1]


def test_nothing_to_roll_back(objects: Objects) -> None:
    assert "there is no model 'demo'" in _told("rollback", "demo")
    new_version(objects)
    assert "there is no alias 'champion' of model demo, nor any other" in _told("rollback", "demo")
    promote(objects, 1)
    assert "did you mean champion?" in _told("rollback", "demo", "--alias", "champio")
    assert "demo@champion had no version before 1" in _told("rollback", "demo")


def test_a_rollback_to_a_deleted_version_is_refused(objects: Objects) -> None:
    for version in (1, 2):
        new_version(objects)
        promote(objects, version)
    registry.delete(objects, "demo", 1)
    assert "was version 1 before, which is deleted: `eagleray models promote demo@VERSION" in _told("rollback", "demo")
    assert _alias(objects) == 2


def test_a_rollback_needs_nothing_of_what_it_leaves(objects: Objects) -> None:
    for version in (1, 2):
        new_version(objects)
        promote(objects, version)
    objects.put(paths.version_record("demo", 2), b"{")
    _out("rollback", "demo")
    assert _alias(objects) == 1


# unalias


def test_unalias(objects: Objects) -> None:
    new_version(objects)
    new_version(objects)
    promote(objects, 1)
    promote(objects, 2, alias="candidate")
    assert _out("unalias", "demo", "--alias", "candidate", "--reason", "refused").splitlines() == [
        "demo@candidate is removed, it was version 2",
        "to undo this: eagleray models promote demo@2 --alias candidate",
    ]
    assert _json("list")[0]["aliases"] == {"champion": 1}
    assert "was removed by" in _told("show", "demo@candidate")
    shown = _json("show", "demo@2")
    assert (shown["aliases"], [each["action"] for each in shown["history"]["candidate"]]) == ([], ["promote", "remove"])
    assert "remove 2 ->" in _out("show", "demo@2")
    _out("promote", "demo@1", "--alias", "candidate")
    assert _alias(objects, "candidate") == 1


def test_unalias_tells_of_an_endpoint_that_follows(objects: Objects) -> None:
    new_version(objects)
    promote(objects, 1)
    rollouts.write(objects, RolloutRecord(name="demo", alias="champion", number=1, stable=1, phase="stable", at=NOW))
    assert "an endpoint that still follows it goes on with that version" in _out(
        "unalias", "demo", "--alias", "champion"
    )


def test_unalias_takes_an_alias_that_is_there(objects: Objects) -> None:
    new_version(objects)
    promote(objects, 1)
    assert "Missing option '--alias'" in _call("unalias", "demo").output
    assert "did you mean champion?" in _told("unalias", "demo", "--alias", "champio")
    told = _json("unalias", "demo", "--alias", "champion")
    assert (told["action"], told["version"], told["number"]) == ("remove", 1, 2)
    assert "was removed by" in _told("unalias", "demo", "--alias", "champion")


# export


@pytest.mark.parametrize("is_there", [False, True], ids=["new", "empty"])
def test_export(objects: Objects, tmp_path: Path, is_there: bool) -> None:
    new_version(objects)
    to = tmp_path / "a" / "model"
    if is_there:
        to.mkdir(parents=True)
    size = sum(map(len, FILES.values()))
    assert _out("export", "demo", str(to)) == f"exported demo@1 to {to}: 3 files, {size} bytes\n"
    assert {path: (to / path).read_bytes() for path in FILES} == FILES
    assert [path.name for path in to.parent.iterdir()] == ["model"]
    assert to.stat().st_mode & stat.S_IRGRP


def test_export_json(objects: Objects, tmp_path: Path) -> None:
    new_version(objects, files={"model.bin": b"1234"})
    to = str(tmp_path / "model")
    assert _json("export", "demo@1", to) == {"name": "demo", "version": 1, "directory": to, "size_bytes": 4}


def test_export_does_not_mix(objects: Objects, tmp_path: Path) -> None:
    new_version(objects)
    (tmp_path / "file").write_text("")
    for taken in (tmp_path, tmp_path / "file"):
        assert "it is not empty: give a directory that is empty or not there" in _told("export", "demo", str(taken))


def test_a_damaged_version_is_not_exported(objects: Objects, tmp_path: Path) -> None:
    new_version(objects)
    objects.put(f"{paths.version_files('demo', 1)}/model.safetensors", b"WEIGHTS")
    result = _call("export", "demo", str(tmp_path / "to" / "model"))
    assert isinstance(result.exception, StorageError)
    assert "model.safetensors is damaged" in str(result.exception)
    assert list((tmp_path / "to").iterdir()) == []


def test_export_to_where_nothing_can_be_written(objects: Objects, tmp_path: Path) -> None:
    new_version(objects)
    (tmp_path / "file").write_text("")
    result = _call("export", "demo", str(tmp_path / "file" / "model"))
    assert isinstance(result.exception, StorageError)
    assert "cannot write" in str(result.exception)


# delete


def test_delete(objects: Objects) -> None:
    new_version(objects)
    new_version(objects)
    assert _out("delete", "demo@1", "--yes").startswith("deleted demo@1, ")
    assert [each["version"] for each in _json("list")[0]["versions"]] == [2]
    assert "model demo has no version 1: there is 2" in _told("delete", "demo@1", "--yes")


def test_delete_asks(objects: Objects) -> None:
    new_version(objects)
    told = _told("delete", "demo@1")
    assert told.startswith("Delete demo@1 (")
    assert told.endswith("Nobody can be asked here: add --yes to do it")
    assert registry.read(objects, "demo", 1)


def test_delete_what_a_killed_registration_left(objects: Objects) -> None:
    put_files(objects, "demo", registry.claim(objects, "demo"), FILES)
    assert "what was stored of demo@1, the registration of which has not ended, (" in _told("delete", "demo@1")
    _out("delete", "demo@1", "--yes")
    assert registry.stored(objects, "demo", 1) == []


@pytest.mark.parametrize("reference", ["demo", "demo@champion"])
def test_delete_takes_a_number(objects: Objects, reference: str) -> None:
    new_version(objects)
    promote(objects, 1)
    assert "delete takes one by its number, such as demo@3" in _told("delete", reference, "--yes")


def test_what_is_in_use_is_not_deleted(objects: Objects) -> None:
    new_version(objects)
    promote(objects, 1)
    assert "demo@1 has the alias champion" in _told("delete", "demo@1", "--yes")
    new_version(objects)
    promote(objects, 2)
    record = RolloutRecord(name="demo", alias="champion", number=1, stable=1, candidate=2, phase="proving", at=NOW)
    rollouts.write(objects, record)
    assert "demo@1 is the stable version of the endpoint that follows champion" in _told("delete", "demo@1", "--yes")
