"""`eagleray runs`."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner, Result

from eagleray.cli.runs import app
from eagleray.errors import UserError
from eagleray.store import events, paths, runs
from eagleray.store.objects import Objects, open_storage
from tests.support.records import DOCUMENT, LOCK, NOW, new_checkpoint, new_run


@pytest.fixture
def objects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Objects:
    monkeypatch.setenv("EAGLERAY_STORAGE", str(tmp_path / "storage"))
    return open_storage(str(tmp_path / "storage"))


def _call(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def _json(*arguments: str) -> object:
    result = _call(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def _told(*arguments: str) -> str:
    result = _call(*arguments)
    assert isinstance(result.exception, UserError), result.output
    return str(result.exception)


def test_list_json(objects: Objects) -> None:
    assert _json("list") == []
    new_run(objects, "old", step=3, phase="failed")
    new_run(objects, "new", minutes=1, metrics={"test": {"f1": 0.5}})
    assert _json("list") == [
        {
            "run": "new-0001",
            "name": "new",
            "kind": "FineTune",
            "phase": "pending",
            "started_at": "2026-01-02T03:05:05Z",
            "step": 0,
            "metrics": {"test": {"f1": 0.5}},
        },
        {
            "run": "old-0001",
            "name": "old",
            "kind": "FineTune",
            "phase": "failed",
            "started_at": "2026-01-02T03:04:05Z",
            "step": 3,
            "metrics": {},
        },
    ]


def test_list_fits_80_columns(objects: Objects) -> None:
    new_run(
        objects, "n" * 40, phase="succeeded", step=123456, metrics={"test": {"matthews_correlation": 0.51234, "b": 1}}
    )
    result = _call("list")
    assert max(map(len, result.stdout.splitlines())) <= 80
    assert "succeeded" in result.stdout
    assert "0.5123" in result.stdout


@pytest.mark.parametrize("given", [["--storage", "there"], []], ids=["option", "default"])
def test_a_storage_that_is_not_there_is_not_created(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("EAGLERAY_STORAGE", raising=False)
    result = _call("list", *given)
    assert (result.exit_code, result.stdout) == (0, "")
    assert "no runs in" in result.stderr
    assert "there is no directory" in _told("show", "demo", *given)
    assert list(tmp_path.iterdir()) == []


def test_the_option_goes_before_the_environment(objects: Objects, tmp_path: Path) -> None:
    new_run(open_storage(str(tmp_path / "other")), "other")
    assert [run["name"] for run in _json("list", "--storage", str(tmp_path / "other"))] == ["other"]  # type: ignore[attr-defined]


def test_show_json(objects: Objects, tmp_path: Path) -> None:
    run = new_run(objects, metrics={"test": {"f1": 0.5}}, best_step=5, restarts=1).run
    manifest = new_checkpoint(objects, run, step=5, scratch=tmp_path, f1=0.4)
    events.append(objects, run, kind="started", now=NOW, attempt=0)
    shown = _json("show", "demo")
    assert shown == {
        "run": "demo-0001",
        "name": "demo",
        "kind": "FineTune",
        "phase": "pending",
        "started_at": "2026-01-02T03:04:05Z",
        "ended_at": None,
        "step": 0,
        "total_steps": None,
        "metrics": {"test": {"f1": 0.5}},
        "best_step": 5,
        "error": "",
        "restarts": 1,
        "progress": None,
        "document": yaml.safe_load(DOCUMENT),
        "lock": LOCK.model_dump(mode="json"),
        "checkpoints": [manifest.model_dump(mode="json")],
        "events": [{"kind": "started", "at": "2026-01-02T03:04:05Z", "fields": {"attempt": 0}}],
    }


def test_show(objects: Objects, tmp_path: Path) -> None:
    metrics = {"validation": {"f1": 0.5, "confusion_matrix": [[1]]}, "test": {"f1": 0.25, "loss": 2}}
    run = new_run(objects, metrics=metrics, best_step=5, phase="failed", error="a worker [bold] failed").run
    new_checkpoint(objects, run, step=5, scratch=tmp_path)
    events.append(objects, run, kind="failed", now=NOW, reason="worker lost")
    shown = _call("show", run).stdout
    lines = [line.split() for line in shown.splitlines()]
    assert max(map(len, shown.splitlines())) <= 80
    for expected in (
        ["run", "demo-0001"],
        ["phase", "failed"],
        ["error", "a", "worker", "[bold]", "failed"],
        ["metric", "validation", "test"],
        ["f1", "0.5", "0.25"],
        ["loss", "2"],
        ["step", "5", "1.5", "17", "bytes", "2", "2026-01-02", "03:04", "best"],
        ["2026-01-02", "03:04", "failed", "reason=worker", "lost"],
    ):
        assert expected in lines


def test_show_says_what_is_there(objects: Objects) -> None:
    new_run(objects, "demo")
    assert "did you mean demo" in _told("show", "dmo")


def test_delete(objects: Objects) -> None:
    new_run(objects, phase="succeeded")
    result = _call("delete", "demo-0001", "--yes")
    assert result.exit_code == 0
    assert result.stdout.startswith("deleted demo-0001, ")
    assert objects.list() == []


@pytest.mark.parametrize(
    "deleted",
    [lambda objects: [paths.record("demo-0001")], lambda objects: [info.key for info in objects.list()]],
    ids=["after-the-record", "before-the-directory"],
)
def test_delete_finishes_what_was_killed(objects: Objects, deleted: Callable[[Objects], list[str]]) -> None:
    new_run(objects, phase="succeeded")
    objects.delete(deleted(objects))
    assert _json("list") == []
    assert _call("delete", "demo-0001", "--yes").exit_code == 0
    assert objects.folders("runs") == []


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        pytest.param(["demo-0001"], "Nobody can be asked here: add --yes", id="nobody-to-ask"),
        pytest.param(
            ["demo", "--yes"], "demo is a name, not a run id: delete takes an id, such as demo-0001", id="name"
        ),
        pytest.param(["demo-0009", "--yes"], "there is no run 'demo-0009'", id="unknown"),
        pytest.param(["../demo-0001", "--yes"], "there is no run '../demo-0001'", id="traversal"),
    ],
)
def test_delete_refuses(objects: Objects, arguments: list[str], told: str) -> None:
    new_run(objects, phase="succeeded")
    assert told in _told("delete", *arguments)
    assert len(runs.list_runs(objects)) == 1


def test_a_run_that_goes_on_is_deleted_by_force_only(objects: Objects) -> None:
    run = new_run(objects, phase="running").run
    runs.put_progress(objects, run, runs.ProgressRecord(step=1, phase="training", updated_at=datetime.now(UTC)))
    assert "demo-0001 is going on (phase running): stop it first" in _told("delete", run, "--yes")
    assert _call("delete", run, "--yes", "--force").exit_code == 0
    assert objects.list() == []
