"""How a run, a sweep and a document's life look to a program that reads the log."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from eagleray import logs
from eagleray.cli import app, views
from eagleray.cli.json_view import JsonView
from eagleray.cli.sweep_view import SweepView
from eagleray.cli.up_view import UpView
from eagleray.cli.watch_view import WatchView
from eagleray.logs import Lines
from eagleray.store import keys, sweeps
from eagleray.store.events import Event
from eagleray.store.key_homes import StoredKeys
from eagleray.store.objects import open_storage
from eagleray.store.runs import ProgressRecord, RunRecord
from tests.support import documents
from tests.support.records import NOW, new_run
from tests.support.sweep_events import begun, created, ended, reported, started

RUN = RunRecord(run="demo-0001", name="demo", phase="running", started_at=NOW)


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def _view(clock: Clock | None = None, *, quiet: bool = False) -> tuple[JsonView, io.StringIO]:
    behind = io.StringIO()
    return JsonView(Lines(behind, now=lambda: NOW), quiet=quiet, clock=clock or Clock()), behind


def _told(behind: io.StringIO, *names: str) -> list[list[Any]]:
    return [[json.loads(line).get(name) for name in names] for line in behind.getvalue().splitlines()]


def _progress(phase: str, step: int) -> ProgressRecord:
    return ProgressRecord.model_validate({"step": step, "phase": phase, "loss": 0.5, "updated_at": NOW})


def test_every_line_says_run_and_step_once_they_are_known() -> None:
    view, behind = _view()
    with view:
        view.say("starting")
        view.created(RUN)
        view.progress(_progress("training", 3))
        view.warn("slow")

    assert _told(behind, "level", "message", "run", "step") == [
        ["info", "starting", None, None],
        ["info", "run demo-0001", "demo-0001", None],
        ["info", "training: step 3/?", "demo-0001", 3],
        ["warning", "slow", "demo-0001", 3],
    ]


def test_progress_comes_at_each_change_of_the_phase_and_every_ten_seconds() -> None:
    clock = Clock()
    view, behind = _view(clock)
    seen = [(0.0, "training"), (4.0, "training"), (5.0, "saving"), (6.0, "training"), (16.5, "training")]
    for step, (now_s, phase) in enumerate(seen):
        clock.now_s = now_s
        view.progress(_progress(phase, step))

    assert _told(behind, "phase", "step") == [["training", 0], ["saving", 2], ["training", 3], ["training", 4]]


@pytest.mark.parametrize(
    ("event", "level", "message"),
    [
        pytest.param(
            Event(kind="quarantined", at=NOW, fields={"num_samples": 2}),
            "warning",
            "2 training samples were left out: see quarantine.jsonl of the run",
            id="warning",
        ),
        pytest.param(
            Event(kind="evaluated", at=NOW, fields={"step": 5, "metrics": {"loss": 0.5}}),
            "info",
            "evaluated at step 5: loss 0.5",
            id="evaluation",
        ),
    ],
)
def test_an_event_is_told_with_its_facts(event: Event, level: str, message: str) -> None:
    view, behind = _view()
    view.event(event)

    assert _told(behind, "level", "message", "event", "facts") == [[level, message, event.kind, event.fields]]


def test_a_sweep() -> None:
    log = [started(), created(0), created(1), begun(0), reported(0, 10, f1_macro=0.5), ended(0, 20, state="pruned")]
    view, behind = _view()
    for count in (3, len(log)):
        view.sweep(sweeps.read(log[:count]), frozenset({0}))

    assert _told(behind, "message", "trial", "step", "best") == [
        ["trial 0 running", 0, 0, None],
        ["trial 1 running", 1, 0, None],
        ["0 trials ended, 1 going on", None, None, None],
        ["trial 0 pruned", 0, 20, {"f1_macro": 0.5}],
    ]


def test_a_life(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    view, behind = _view()
    made = keys.create(StoredKeys(open_storage(str(tmp_path))), "first", now=NOW)
    view.step("train", "begun", "")
    view.key(made)

    assert capsys.readouterr().out == f"{made.text}\n"
    assert made.text not in behind.getvalue()
    assert _told(behind, "message", "life_step", "step")[0] == ["train: begun", "train", None]


def test_quiet_tells_nothing() -> None:
    view, behind = _view(quiet=True)
    view.say("starting")
    view.created(RUN)

    assert behind.getvalue() == ""


def test_people_get_views_for_people() -> None:
    assert isinstance(views.of_sweep(), SweepView)
    assert isinstance(views.of_life(), UpView)
    assert isinstance(views.of_watched(), WatchView)


# The option


@pytest.fixture
def storage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.yaml").write_text(documents.text(), encoding="utf-8")
    new_run(open_storage(str(tmp_path / "runs")), phase="failed", error="it\nbroke")
    return str(tmp_path / "runs")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        pytest.param(["train", "gone.yaml"], 2, "gone.yaml", id="no-document"),
        pytest.param(["train"], 2, "Missing argument", id="no-argument"),
        pytest.param(["train", "a.yaml", "--set", "train.epoch=1"], 2, "did you mean", id="unknown-key"),
        pytest.param(["runs", "watch", "demo"], 1, "it\nbroke", id="a-failed-run"),
    ],
)
@pytest.mark.parametrize("by", ["option", "environment"])
def test_all_of_stderr_is_lines(
    storage: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
    message: str,
    by: str,
) -> None:
    monkeypatch.setenv("EAGLERAY_STORAGE", storage)
    if by == "environment":
        monkeypatch.setenv("EAGLERAY_LOG_FORMAT", "json")
    assert app.main([*arguments, *(["--log-format", "json"] if by == "option" else [])]) == code

    told = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert message in told[-1]["message"]
    assert told[-1]["level"] == "error"
    assert logs.active() is None


@pytest.mark.parametrize("arguments", [["train", "--bogus"], ["bogus"]], ids=["option", "command"])
def test_by_the_environment_even_what_cannot_be_read_is_lines(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    monkeypatch.setenv("EAGLERAY_LOG_FORMAT", "json")
    assert app.main(arguments) == 2

    (told,) = map(json.loads, capsys.readouterr().err.splitlines())
    assert "bogus" in told["message"]


def test_the_option_goes_before_the_environment(
    storage: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("EAGLERAY_LOG_FORMAT", "json")
    assert app.main(["train", "gone.yaml", "--log-format", "text"]) == 2
    assert capsys.readouterr().err.startswith("error: ")


def test_another_format_is_refused(storage: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert app.main(["train", "a.yaml", "--log-format", "xml"]) == 2
    assert "--log-format xml: give text or json" in capsys.readouterr().err
