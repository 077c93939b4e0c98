"""Prometheus asks the process that drives a run over HTTP, sees how it ends, and then finds nobody there."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import threading
from pathlib import Path
from typing import Any, cast
from urllib.error import URLError
from urllib.request import Request, urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families

from eagleray.errors import UserError
from eagleray.flow import exporting
from eagleray.monitoring import address
from eagleray.monitoring.families import SWEEP, TRAIN
from eagleray.spec import document
from eagleray.spec.finetune import FineTune
from eagleray.spec.monitoring import MonitoringSpec
from eagleray.store import events, runs, sweeps
from eagleray.store.events import Event
from eagleray.store.objects import Objects, open_storage
from eagleray.store.runs import ProgressRecord, RunRecord
from tests.support import sweep_events
from tests.support.records import DOCUMENT, LOCK, NOW

FIGURES: dict[str, Any] = {
    "learning_rate": 1e-4,
    "samples_per_s": 50.0,
    "tokens_per_s": 900.0,
    "padding_share": 0.1,
    "useful_s": 4.0,
}


class Looker:
    """Who started the run; notes what reaches it."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.heard: list[str] = []

    def say(self, message: str) -> None:
        self.said.append(message)

    def __getattr__(self, name: str) -> Any:
        return lambda *facts: self.heard.append(name)

    @property
    def url(self) -> str:
        [found] = re.findall(r"metrics for Prometheus at (\S+)", "\n".join(self.said))
        return str(found)


@pytest.fixture
def objects(tmp_path: Path) -> Objects:
    return open_storage(str(tmp_path / "storage"))


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporting, "AT_END_S", 5.0)


def wanted(*, more: str = "") -> FineTune:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    return document.loads(f"{DOCUMENT}{more}  monitoring: {{port: {port}}}\n", source="a.yaml").document


def new_run(objects: Objects, *, kind: str = "FineTune") -> RunRecord:
    made = runs.create(objects, name="demo", document=DOCUMENT, lock=LOCK, now=NOW, kind=kind)
    record = made.model_copy(update={"phase": "running"})
    runs.save(objects, record)
    return record


def scrape(url: str) -> str:
    with urlopen(Request(url, headers={"Accept": "text/plain"}), timeout=5) as answer:
        return cast(bytes, answer.read()).decode()


def told(text: str) -> dict[str, float]:
    """The value of each series that says something, by name and labels."""
    return {
        f"{sample.name}{sorted(sample.labels.items())}": sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(text: str, series: str, /, **labels: str) -> float | None:
    return told(text).get(f"{series}{sorted(labels.items())}")


def drive(observer: Any, record: RunRecord) -> None:
    """What the driver of a run tells."""
    observer.created(record)
    progress = {"total_steps": 9, "epoch": 0.0, "phase": "training", "updated_at": NOW, **FIGURES}
    observer.progress(ProgressRecord(step=5, loss=0.5, **progress))
    observer.event(Event(kind="evaluated", at=NOW, fields={"step": 5, "metrics": {"f1_macro": 0.8}}))


def test_without_the_section_nobody_listens(objects: Objects) -> None:
    looker = Looker()
    plain = document.loads(DOCUMENT, source="a.yaml").document
    with exporting.beside(plain, objects, cast(Any, looker)) as observer:
        assert observer is cast(Any, looker)
    assert looker.said == []


def test_a_run(objects: Objects) -> None:
    record, looker = new_run(objects), Looker()
    with exporting.beside(wanted(), objects, cast(Any, looker)) as observer:
        assert told(scrape(looker.url)) == {}, "there is no run yet"
        drive(observer, record)
        text = scrape(looker.url)

    of_it = {"name": "demo", "run": record.run}
    assert value(text, "eagleray_train_step", **of_it) == 5
    assert value(text, "eagleray_train_phase", phase="training", **of_it) == 1
    assert value(text, "eagleray_train_best_validation", metric="f1_macro", mode="max", **of_it) == 0.8
    assert looker.heard == ["created", "progress", "event"]
    assert {family.name for family in TRAIN.values()} == _names(text)


def test_a_sweep(objects: Objects) -> None:
    record, looker = new_run(objects, kind=sweeps.KIND), Looker()
    section = "  sweep: {space: {train.learning_rate: {choice: [0.1, 0.2]}}, budget: {trials: 2}}\n"
    log = [sweep_events.started(), sweep_events.created(0), sweep_events.begun(0)]
    with exporting.beside(wanted(more=section), objects, cast(Any, looker)) as observer:
        observer.created(record)
        cast(Any, observer).sweep(sweeps.read([*log, sweep_events.reported(0, 3, f1_macro=0.5)]), frozenset({0}))
        text = scrape(looker.url)

    of_it = {"name": "demo", "run": record.run}
    assert value(text, "eagleray_sweep_trials", state="running", **of_it) == 1
    assert value(text, "eagleray_sweep_planned_trials", **of_it) == 2
    assert looker.heard == ["created", "sweep"]
    assert {family.name for family in SWEEP.values()} == _names(text)


def test_how_it_ended_is_seen_and_then_nobody_listens(objects: Objects) -> None:
    record, looker = new_run(objects), Looker()
    seen: list[str] = []

    def prometheus() -> None:
        """Asks until the end is told."""
        while not seen or not value(seen[-1], "eagleray_train_phase", phase="failed", name="demo", run=record.run):
            seen.append(scrape(looker.url))

    with exporting.beside(wanted(), objects, cast(Any, looker)) as observer:
        drive(observer, record)
        scrape(looker.url)
        asking = threading.Thread(target=prometheus)
        asking.start()
        runs.save(objects, record.model_copy(update={"phase": "failed", "ended_at": NOW}))
    asking.join(timeout=5)

    assert not asking.is_alive()
    with pytest.raises(URLError):
        scrape(looker.url)


@pytest.mark.parametrize(
    ("asks", "has_ended"),
    [pytest.param(False, True, id="nobody-asks"), pytest.param(True, False, id="its-end-is-not-written-down")],
)
def test_what_is_not_waited_for(objects: Objects, monkeypatch: pytest.MonkeyPatch, asks: bool, has_ended: bool) -> None:
    monkeypatch.setattr(exporting, "AT_END_S", 3600.0)  # the test's own limit would end it
    record, looker = new_run(objects), Looker()
    with exporting.beside(wanted(), objects, cast(Any, looker)) as observer:
        drive(observer, record)
        if asks:
            scrape(looker.url)
        if has_ended:
            runs.save(objects, record.model_copy(update={"phase": "succeeded", "ended_at": NOW}))


def test_a_run_that_goes_on(objects: Objects) -> None:
    record, looker = new_run(objects), Looker()
    events.append(objects, record.run, kind="restarted", now=NOW, reason="hang", step=3, saved_step=2)
    with exporting.beside(wanted(), objects, cast(Any, looker)) as observer:
        drive(observer, record)
        text = scrape(looker.url)

    assert value(text, "eagleray_train_restarts_total", reason="hang", name="demo", run=record.run) == 1


def test_a_port_that_is_taken(objects: Objects) -> None:
    first = wanted()
    spec = first.spec.monitoring
    assert spec is not None
    address.check(spec)
    expected = rf"monitoring: 127\.0\.0\.1:{spec.port} cannot be listened on \(Address already in use\)"
    with exporting.beside(first, objects, cast(Any, Looker())):
        with pytest.raises(UserError, match=expected):
            address.check(spec)
        with pytest.raises(UserError, match=expected), exporting.beside(first, objects, cast(Any, Looker())):
            pass
    address.check(spec)


def test_without_the_section_no_port_is_asked_for() -> None:
    address.check(None)


@pytest.mark.parametrize(
    ("host", "url"),
    [("127.0.0.1", "http://127.0.0.1:9464/metrics"), ("::1", "http://[::1]:9464/metrics")],
)
def test_where_prometheus_asks(host: str, url: str) -> None:
    assert address.url(MonitoringSpec(host=host)) == url


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not here")
def test_promtool_has_nothing_to_say(objects: Objects) -> None:
    looker = Looker()
    with exporting.beside(wanted(), objects, cast(Any, looker)) as observer:
        drive(observer, new_run(objects))
        text = scrape(looker.url)
    checked = subprocess.run(["promtool", "check", "metrics"], input=text, text=True, capture_output=True, timeout=60)

    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")


def _names(text: str) -> set[str]:
    return set(re.findall(r"^# HELP (\S+)", text, re.MULTILINE))
