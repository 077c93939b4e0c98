"""`eagleray runs report`, and what `runs show` tells of a run's time and troubles."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from eagleray.cli.runs import app
from eagleray.errors import UserError
from eagleray.store import events, mistakes, paths, runs, sweeps, times
from eagleray.store.objects import Objects, open_storage
from eagleray.store.steps import StepLog
from tests.support import run_samples
from tests.support.records import new_run


@pytest.fixture
def objects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Objects]:
    monkeypatch.setenv("EAGLERAY_STORAGE", str(tmp_path / "storage"))
    yield open_storage(str(tmp_path / "storage"))


def _call(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def _stored(objects: Objects) -> str:
    """The good sample as a run on the storage."""
    sample = run_samples.good()
    metrics = sample.record.metrics
    run = new_run(objects, "sms-spam", phase="succeeded", ended_at=sample.record.ended_at, metrics=metrics).run
    log = StepLog(objects, run, lease=1)
    for row in sample.rows:
        log.add(dict(row))
    log.flush()
    for event in sample.events:
        events.append(objects, run, kind=event.kind, now=event.at, **event.fields)
    for account in sample.times:
        times.put(objects, run, account)
    for record in sample.mistakes:
        mistakes.put(objects, run, record)
    assert sample.data is not None
    objects.put(paths.data_report(run), sample.data.model_dump_json().encode())
    return run


def test_the_page_goes_beside_the_run(objects: Objects, tmp_path: Path) -> None:
    run = _stored(objects)

    result = _call("report", "sms-spam")

    assert result.exit_code == 0, result.output
    place = tmp_path / "storage" / "runs" / run / "report.html"
    assert result.stdout == f"{place}\n"
    html = place.read_text(encoding="utf-8")
    assert html.startswith("<!doctype html>")
    for words in (run, "3 rows of test may have a wrong label", "steps that count"):
        assert words in html


def test_the_page_goes_where_it_is_told_to(objects: Objects, tmp_path: Path) -> None:
    _stored(objects)

    result = _call("report", "sms-spam", "--out", str(tmp_path / "page.html"))

    assert result.stdout == f"{tmp_path / 'page.html'}\n"
    assert (tmp_path / "page.html").stat().st_size > 1e6, "plotly is inside"
    assert objects.list(f"{paths.run('sms-spam-0001')}/report.html") == []


@pytest.mark.parametrize(
    ("kind", "arguments", "message"),
    [
        ("FineTune", ["demo", "--out", "no/such/folder/page.html"], "cannot be written: No such file or directory"),
        (sweeps.KIND, ["demo"], "demo-0001 is a sweep, which writes its own page: see `eagleray sweep show demo-0001`"),
        ("FineTune", ["other"], "there is no run 'other'"),
    ],
    ids=["no folder", "a sweep", "no run"],
)
def test_refused(objects: Objects, kind: str, arguments: list[str], message: str) -> None:
    runs.save(objects, new_run(objects).model_copy(update={"kind": kind}))

    result = _call("report", *arguments)

    assert isinstance(result.exception, UserError)
    assert message in str(result.exception)


def test_a_run_that_left_nothing_has_a_page(objects: Objects) -> None:
    new_run(objects)

    assert _call("report", "demo").exit_code == 0


def test_show_tells_goodput_and_diagnosis(objects: Objects) -> None:
    run = _stored(objects)

    told = _call("show", run).stdout
    shown = json.loads(_call("show", run, "--json").stdout)

    assert max(map(len, told.splitlines())) <= 80
    assert "goodput" in told
    assert "warning    3 rows of validation may have a wrong label" in told
    assert sum(shown["goodput"]["seconds"].values()) == pytest.approx(shown["goodput"]["wall_s"])
    assert shown["goodput"]["share"] == pytest.approx(140 / 260, abs=1e-3)
    assert [each["severity"] for each in shown["diagnosis"]] == ["warning", "warning", "note"]
