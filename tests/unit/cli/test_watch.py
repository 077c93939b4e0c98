"""`eagleray runs watch`: what is printed, and how it ends."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

from eagleray.cli.runs import app
from eagleray.cli.watch_view import WatchView
from eagleray.errors import UserError
from eagleray.store import events
from eagleray.store.events import Event
from eagleray.store.objects import Objects, open_storage
from tests.support import sweep_events
from tests.support.records import NOW, new_run


@pytest.fixture
def objects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Objects:
    monkeypatch.setenv("EAGLERAY_STORAGE", str(tmp_path))
    return open_storage(str(tmp_path))


def _call(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["watch", *arguments])


@pytest.mark.parametrize(
    ("phase", "exit_code"), [("succeeded", 0), ("failed", 1), ("stopped", 1)], ids=["succeeded", "failed", "stopped"]
)
def test_ends_as_the_run_does(objects: Objects, phase: str, exit_code: int) -> None:
    new_run(objects, phase=phase, best_step=5, metrics={"test": {"f1": 0.5}}, error="it [broke]")
    result = _call("demo")

    told = str(result.exception) if exit_code else ""
    assert (result.exit_code, told) == (exit_code, f"demo-0001 {phase}: it [broke]" if exit_code else "")
    assert ("best checkpoint at step 5" in result.stdout) == (exit_code == 0)


def test_json(objects: Objects) -> None:
    new_run(objects, phase="failed")
    result = _call("demo", "--json")

    assert result.exit_code == 1
    assert json.loads(result.stdout)["run"] == "demo-0001"


def test_a_sweep(objects: Objects) -> None:
    new_run(objects, "search", phase="stopped", kind="Sweep")
    writer = events.Writer(objects, "search-0001")
    for event in (sweep_events.started(), sweep_events.created(0), sweep_events.begun(0), sweep_events.ended(0, 20)):
        writer.append(event)
    shown = _call("search").stderr

    assert "trial 0 finished at step 20" in shown
    assert "1 trials ended, 0 going on" in shown


def test_unknown(objects: Objects) -> None:
    new_run(objects)
    result = _call("demi")

    assert isinstance(result.exception, UserError)
    assert "did you mean demo" in str(result.exception)


@pytest.mark.parametrize(
    ("event", "line"),
    [
        pytest.param(
            Event(kind="started", at=NOW, fields={"world_size": 2, "micro_batch_size": 8, "nodes": ["n"]}),
            "started: 2 workers, micro batches of 8",
            id="started",
        ),
        pytest.param(
            Event(kind="evaluated", at=NOW, fields={"step": 5, "metrics": {"loss": 0.51234, "f1_macro": 1}}),
            "evaluated at step 5: loss 0.5123, f1_macro 1",
            id="evaluated",
        ),
        pytest.param(
            Event(kind="checkpoint", at=NOW, fields={"step": 5, "size_bytes": 640_000, "stall_s": 0}),
            "checkpoint of step 5, 640.0 kB",
            id="checkpoint",
        ),
        pytest.param(
            Event(kind="stopped-early", at=NOW, fields={"step": 5, "best": 0.25}),
            "stopped early at step 5: the validation rows got no better",
            id="as-in-the-report",
        ),
        pytest.param(
            Event(kind="from-a-newer-version", at=NOW, fields={"step": 5, "best": 0.25}),
            "from-a-newer-version step=5 best=0.25",
            id="any-other",
        ),
    ],
)
def test_every_event_has_a_line(event: Event, line: str) -> None:
    stream = io.StringIO()
    with WatchView(Console(file=stream, width=80, color_system=None, legacy_windows=False, _environ={})) as view:
        view.event(event)

    assert stream.getvalue() == f"{line}\n"
