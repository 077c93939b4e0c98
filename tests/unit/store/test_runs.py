"""Runs are created once each, found by id or name, and deleted so that a kill hides nothing."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from eagleray.errors import StorageError, UserError
from eagleray.store import paths, runs
from eagleray.store.objects import ObjectMissing, Objects
from tests.support.records import DOCUMENT, LOCK, NOW, new_run


def test_a_new_run_is_written_whole(objects: Objects) -> None:
    record = runs.create(objects, name="demo", document=DOCUMENT, lock=LOCK, now=NOW)
    assert record == runs.RunRecord(run="demo-0001", name="demo", phase="pending", started_at=NOW)
    assert runs.read(objects, "demo-0001") == record
    assert runs.read_document(objects, "demo-0001") == DOCUMENT
    assert runs.read_lock(objects, "demo-0001") == LOCK


def test_ids_count_up_a_name(objects: Objects) -> None:
    names = ["demo", "demo", "demo-0001", "other", "demo", "demo-0001"]
    expected = ["demo-0001", "demo-0002", "demo-0001-0001", "other-0001", "demo-0003", "demo-0001-0002"]
    assert [new_run(objects, name).run for name in names] == expected


def test_an_id_that_a_killed_creation_or_deletion_still_holds_is_not_given_again(objects: Objects) -> None:
    objects.put(paths.document("demo-0004"), b"claimed")
    assert runs.list_runs(objects) == []
    assert new_run(objects).run == "demo-0005"


def test_threads_get_different_ids(objects: Objects) -> None:
    with ThreadPoolExecutor(8) as threads:
        ids = list(threads.map(lambda _: new_run(objects).run, range(16)))
    assert len(set(ids)) == 16
    assert {record.run for record in runs.list_runs(objects)} == set(ids)


def test_processes_get_different_ids(local: Objects) -> None:
    """Only processes show that the exclusiveness is that of the storage and not of a lock in this interpreter."""
    script = (
        "import sys; from eagleray.store.objects import open_storage; from tests.support.records import new_run\n"
        "objects = open_storage(sys.argv[1])\n"
        "print(*(new_run(objects).run for _ in range(10)))"
    )
    command = [sys.executable, "-c", script, local.uri]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    ids = " ".join(process.communicate(timeout=60)[0] for process in processes).split()
    assert sorted(ids) == [f"demo-{number:04d}" for number in range(1, 41)]


def test_the_newest_is_listed_first(objects: Objects) -> None:
    for minutes, name in ((1, "b"), (3, "a"), (2, "c")):
        new_run(objects, name, minutes=minutes)
    assert [record.run for record in runs.list_runs(objects)] == ["a-0001", "c-0001", "b-0001"]


def test_a_damaged_record_does_not_hide_the_others(objects: Objects) -> None:
    new_run(objects)
    new_run(objects)
    objects.put(paths.record("demo-0001"), b'{"run": ')
    objects.put("runs/not a run/file", b"")
    healthy, damaged = runs.list_runs(objects)
    assert healthy.run == "demo-0002"
    assert (damaged.run, damaged.name, damaged.phase) == ("demo-0001", "demo", "failed")
    assert "damaged or was written by a newer eagleray" in damaged.error
    with pytest.raises(StorageError, match=r"runs/demo-0001/run.json is damaged .*: upgrade eagleray, or restore"):
        runs.read(objects, "demo-0001")


def test_a_record_with_keys_of_a_newer_version_is_read(objects: Objects) -> None:
    record = new_run(objects)
    data = objects.read(paths.record(record.run)).replace(b"{", b'{"new_key": 1,', 1)
    objects.put(paths.record(record.run), data)
    assert runs.read(objects, record.run) == record


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        pytest.param("demo-0001", "demo-0001", id="id"),
        pytest.param("demo-0003", "demo-0003", id="id-of-a-failed-run"),
        pytest.param("demo", "demo-0002", id="newest-succeeded-of-the-name"),
        pytest.param("other", "other-0002", id="newest-where-none-succeeded"),
    ],
)
def test_find(local: Objects, wanted: str, found: str) -> None:
    for minutes, (name, phase) in enumerate(
        [("demo", "succeeded"), ("demo", "succeeded"), ("demo", "failed"), ("other", "failed"), ("other", "running")]
    ):
        new_run(local, name, minutes=minutes, phase=phase)
    assert runs.find(local, wanted).run == found


def test_what_is_not_found_is_told_with_what_is_there(local: Objects) -> None:
    with pytest.raises(UserError, match=r"no run 'x', nor any other on .*: give the right --storage"):
        runs.find(local, "x")
    for _ in range(12):
        new_run(local, "sms-spam")
    with pytest.raises(
        UserError, match=r"no run 'sms-spm'.*did you mean sms-spam.*There are: sms-spam-00.* and 2 more"
    ):
        runs.find(local, "sms-spm")
    with pytest.raises(UserError, match="there is no run"):
        runs.find(local, "../../etc")


def test_progress(objects: Objects) -> None:
    run = new_run(objects).run
    assert runs.read_progress(objects, run) is None
    progress = runs.ProgressRecord(step=3, loss=float("nan"), phase="training", updated_at=NOW)
    runs.put_progress(objects, run, progress)
    assert runs.read_progress(objects, run) == progress.model_copy(update={"loss": None})


def test_numbers_that_are_not_finite_are_null(objects: Objects) -> None:
    record = new_run(objects, metrics={"test": {"loss": float("inf"), "f1": 0.5, "confusion_matrix": [[1, 0], [0, 1]]}})
    expected = {"test": {"loss": None, "f1": 0.5, "confusion_matrix": [[1, 0], [0, 1]]}}
    assert runs.read(objects, record.run).metrics == expected


def test_delete(objects: Objects) -> None:
    deleted, kept = new_run(objects).run, new_run(objects).run
    objects.put(f"{paths.model(deleted)}/weights", b"x")
    runs.delete(objects, deleted)
    assert not runs.is_claimed(objects, deleted)
    assert [record.run for record in runs.list_runs(objects)] == [kept]
    assert {info.key.split("/")[1] for info in objects.list()} == {kept, "deleted"}


def test_the_id_of_a_deleted_run_is_not_given_again(objects: Objects) -> None:
    """A registered version names its run: another run of that id would pass for it."""
    for number in (1, 2):
        run = new_run(objects).run
        assert run == f"demo-{number:04d}"
        runs.delete(objects, run)
    assert new_run(objects, name="demo-0001").run == "demo-0001-0001"


class Killed(BaseException):
    """The process is gone."""


class DyingObjects(Objects):
    """A storage on which the process is killed before its n-th deletion of an object."""

    def __init__(self, objects: Objects, deletions: int) -> None:
        super().__init__(objects.uri, objects._store)
        self._left = deletions

    def _delete(self, keys: list[str]) -> None:
        for key in keys:
            if not self._left:
                raise Killed
            self._left -= 1
            super()._delete([key])


@pytest.mark.parametrize("deletions", range(5))
def test_a_deletion_killed_anywhere_shows_nothing_healthy_and_can_be_finished(objects: Objects, deletions: int) -> None:
    run = new_run(objects, phase="succeeded").run
    for key in (f"{paths.model(run)}/a", f"{paths.checkpoint(run, 1, 1)}/b"):
        objects.put(key, b"x")
    with pytest.raises(Killed):
        runs.delete(DyingObjects(objects, deletions), run)
    assert [record.run for record in runs.list_runs(objects)] == ([run] if deletions == 0 else [])
    assert runs.is_claimed(objects, run)
    assert new_run(objects).run == "demo-0002"
    runs.delete(objects, run)
    assert not runs.is_claimed(objects, run)


def test_a_run_that_is_not_there_has_no_record(objects: Objects) -> None:
    with pytest.raises(ObjectMissing):
        runs.read(objects, "demo-0001")
