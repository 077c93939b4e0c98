"""`eagleray runs`."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner, Result

from eagleray.cli.run_tables import ledger_text
from eagleray.cli.runs import app
from eagleray.errors import UserError
from eagleray.store import events, ledger, paths, runs
from eagleray.store.ledger import EpochUse, LedgerReport, StepUse
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


@pytest.mark.parametrize(
    "command", [["list"], ["show", "demo"], ["delete", "demo", "--all", "--yes"]], ids=lambda command: command[0]
)
def test_an_empty_storage_is_refused(objects: Objects, command: list[str]) -> None:
    new_run(objects)
    assert "--storage is empty" in _told(*command, "--storage", "")


def test_the_option_goes_before_the_environment(objects: Objects, tmp_path: Path) -> None:
    new_run(open_storage(str(tmp_path / "other")), "other")
    assert [run["name"] for run in _json("list", "--storage", str(tmp_path / "other"))] == ["other"]  # type: ignore[attr-defined]


def test_show_json(objects: Objects, tmp_path: Path) -> None:
    run = new_run(objects, metrics={"test": {"f1": 0.5}}, best_step=5, restarts=1).run
    manifest = new_checkpoint(objects, run, step=5, scratch=tmp_path, f1=0.4)
    steps = [StepUse(step=step, epoch=0, ranks=[[step - 1], [9 - (step - 1)]]) for step in range(1, 6)]
    ledger.write(objects, run, manifest.id, parent=None, num_samples=10, steps=steps)
    events.append(objects, run, kind="restarted", now=NOW, reason="infrastructure")
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
        "restarts_by_reason": {"infrastructure": 1},
        "forked_from": None,
        "outdone_by": "",
        "progress": None,
        "document": yaml.safe_load(DOCUMENT),
        "lock": LOCK.model_dump(mode="json"),
        "checkpoints": [manifest.model_dump(mode="json")],
        "ledger": {
            "num_samples": 10,
            "epochs": [
                {
                    "epoch": 0,
                    "num_used": 10,
                    "num_missed": 0,
                    "num_repeated": 0,
                    "num_skipped": 0,
                    "is_complete": True,
                }
            ],
            "is_exact": True,
            "problem": "",
        },
        "goodput": None,
        "diagnosis": [],
        "events": [{"kind": "restarted", "at": "2026-01-02T03:04:05Z", "fields": {"reason": "infrastructure"}}],
    }


def test_show(objects: Objects, tmp_path: Path) -> None:
    metrics = {"validation": {"f1": 0.5, "confusion_matrix": [[1]]}, "test": {"f1": 0.25, "loss": 2}}
    fork = runs.ForkRecord(run="old-0001", step=7, keeps_position=False)
    changes = {"best_step": 5, "phase": "failed", "error": "a worker [bold] failed", "forked_from": fork}
    run = new_run(objects, metrics=metrics, **changes).run
    new_checkpoint(objects, run, step=5, scratch=tmp_path)
    for reason in ("infrastructure", "preemption", "infrastructure"):
        events.append(objects, run, kind="restarted", now=NOW, reason=reason)
    events.append(objects, run, kind="failed", now=NOW, reason="worker lost")
    shown = _call("show", run).stdout
    lines = [line.split() for line in shown.splitlines()]
    assert max(map(len, shown.splitlines())) <= 80
    for expected in (
        ["run", "demo-0001"],
        ["phase", "failed"],
        ["forked", "from", "step", "7", "of", "old-0001"],
        ["error", "a", "worker", "[bold]", "failed"],
        ["metric", "validation", "test"],
        ["f1", "0.5", "0.25"],
        ["loss", "2"],
        ["restarts", "3", "(2", "infrastructure,", "1", "preemption)"],
        ["step", "5", "1", "1,", "5", "17", "bytes", "2", "2026-01-02", "03:04", "best"],
        ["2026-01-02", "03:04", "failed", "reason=worker", "lost"],
    ):
        assert expected in lines


def test_show_without_a_checkpoint(objects: Objects) -> None:
    run = new_run(objects).run
    assert _json("show", run)["ledger"] is None  # type: ignore[index]
    assert "ledger" not in _call("show", run).stdout


def test_show_with_a_ledger_that_is_gone(objects: Objects, tmp_path: Path) -> None:
    run = new_run(objects).run
    new_checkpoint(objects, run, step=5, scratch=tmp_path)
    assert "ledger     not exact: " in _call("show", run).stdout
    assert "there is no runs/demo-0001/ledger/000000005-0001.jsonl.gz" in _json("show", run)["ledger"]["problem"]  # type: ignore[index]


def _epoch(epoch: int, used: int, *, missed: int = 0, repeated: int = 0, skipped: int = 0) -> EpochUse:
    return EpochUse(
        epoch=epoch,
        num_used=used,
        num_missed=missed,
        num_repeated=repeated,
        num_skipped=skipped,
        is_complete=not missed,
    )


@pytest.mark.parametrize(
    ("epochs", "is_exact", "text"),
    [
        pytest.param([], True, "no samples used yet", id="nothing"),
        pytest.param([_epoch(0, 2000)], True, "1 epoch, each of 2,000 samples used exactly once", id="one"),
        pytest.param(
            [_epoch(0, 2000), _epoch(1, 2000)], True, "2 epochs, each of 2,000 samples used exactly once", id="two"
        ),
        pytest.param(
            [_epoch(0, 1999, skipped=1)],
            True,
            "1 epoch, each of 2,000 samples used exactly once, but for 1 left out",
            id="skipped",
        ),
        pytest.param([_epoch(0, 5, missed=1995)], True, "5 of 2,000 samples of epoch 0, none twice", id="first-epoch"),
        pytest.param(
            [_epoch(0, 2000), _epoch(1, 1500, missed=500)],
            True,
            "1 epoch, each of 2,000 samples used exactly once; 1,500 of 2,000 samples of epoch 1, none twice",
            id="goes-on",
        ),
        pytest.param(
            [_epoch(0, 2000, repeated=3), _epoch(1, 2000), _epoch(2, 1900, missed=100)],
            False,
            "not exact: epoch 0: 0 missed, 3 used twice or more; epoch 2: 100 missed, 0 used twice or more",
            id="wrong",
        ),
        pytest.param(
            [_epoch(number, 2000, repeated=1) for number in range(5)],
            False,
            "not exact: "
            + "; ".join(f"epoch {number}: 0 missed, 1 used twice or more" for number in range(3))
            + " and 2 more epochs",
            id="all-wrong",
        ),
    ],
)
def test_the_ledger_in_words(epochs: list[EpochUse], is_exact: bool, text: str) -> None:
    assert ledger_text(LedgerReport(num_samples=2000, epochs=tuple(epochs), is_exact=is_exact)) == text


def test_show_says_what_is_there(objects: Objects) -> None:
    new_run(objects, "demo")
    assert "did you mean demo" in _told("show", "dmo")


def _left(objects: Objects) -> list[str]:
    """What is stored, beside that ids were given."""
    return [info.key for info in objects.list() if not info.key.startswith(f"{paths.deleted_runs()}/")]


def test_delete(objects: Objects) -> None:
    new_run(objects, phase="succeeded")
    result = _call("delete", "demo-0001", "--yes")
    assert result.exit_code == 0
    assert result.stdout.startswith("deleted demo-0001, ")
    assert _left(objects) == []


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
    assert objects.folders("runs") == ["deleted"]


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


def test_delete_all_of_a_name(objects: Objects) -> None:
    for name in ("demo", "demo", "demo-two"):
        new_run(objects, name, phase="succeeded")
    assert _call("delete", "demo", "--all", "--yes").stdout.startswith("deleted demo-0001, demo-0002, ")
    assert objects.folders("runs") == ["deleted", "demo-two-0001"]
    assert _call("delete", "demo", "--all", "--yes").stdout == "deleted no run of demo, 0 bytes freed\n"


def test_delete_all_where_there_is_no_storage(tmp_path: Path) -> None:
    result = _call("delete", "demo", "--all", "--yes", "--storage", str(tmp_path / "nowhere"))
    assert (result.exit_code, result.stdout.startswith("there is no run of demo")) == (0, True)


def test_a_run_that_goes_on_is_deleted_by_force_only(objects: Objects) -> None:
    run = new_run(objects, phase="running").run
    runs.put_progress(objects, run, runs.ProgressRecord(step=1, phase="training", updated_at=datetime.now(UTC)))
    assert "demo-0001 is going on (phase running): stop it first" in _told("delete", run, "--yes")
    assert _call("delete", run, "--yes", "--force").exit_code == 0
    assert _left(objects) == []
