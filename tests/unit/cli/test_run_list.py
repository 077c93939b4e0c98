"""`eagleray runs list` with filters."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from eagleray.cli.run_list import moment
from eagleray.cli.runs import app
from eagleray.errors import UserError
from eagleray.store.objects import open_storage
from tests.support.records import NOW, new_run


@pytest.fixture
def storage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four runs, the last the newest."""
    monkeypatch.setenv("EAGLERAY_STORAGE", str(tmp_path))
    objects = open_storage(str(tmp_path))
    new_run(objects, "sms", phase="succeeded")
    new_run(objects, "reviews-small", minutes=60, phase="failed")
    new_run(objects, "reviews", minutes=120, phase="running", kind="Sweep")
    new_run(objects, "sms", minutes=180, phase="running")


def _call(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["list", *arguments])


@pytest.mark.parametrize(
    ("arguments", "listed"),
    [
        pytest.param([], ["sms-0002", "reviews-0001", "reviews-small-0001", "sms-0001"], id="all"),
        pytest.param(["--name", "sms"], ["sms-0002", "sms-0001"], id="name"),
        pytest.param(["--name", "reviews*"], ["reviews-0001", "reviews-small-0001"], id="names-alike"),
        pytest.param(["--name", "sms", "--name", "reviews"], ["sms-0002", "reviews-0001", "sms-0001"], id="two-names"),
        pytest.param(["--kind", "sweep"], ["reviews-0001"], id="kind-in-any-case"),
        pytest.param(["--phase", "failed", "--phase", "succeeded"], ["reviews-small-0001", "sms-0001"], id="phases"),
        pytest.param(["--since", "2026-01-02T04:04:05"], ["sms-0002", "reviews-0001", "reviews-small-0001"], id="at"),
        pytest.param(["--since", "2026-01-03"], [], id="since"),
        pytest.param(["--limit", "1"], ["sms-0002"], id="limit"),
        pytest.param(["--phase", "running", "--kind", "FineTune", "--limit", "5"], ["sms-0002"], id="together"),
    ],
)
def test_filters(storage: None, arguments: list[str], listed: list[str]) -> None:
    result = _call(*arguments, "--json")

    assert [run["run"] for run in json.loads(result.stdout)] == listed


def test_nothing_is_as_asked(storage: None) -> None:
    result = _call("--phase", "stopped")

    assert (result.exit_code, result.stdout) == (0, "")
    assert "none of the 4 runs in" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        pytest.param(["--phase", "done"], "--phase done: give one of pending, running, succeeded", id="phase"),
        pytest.param(["--kind", "Run"], "--kind Run: give one of FineTune, Sweep", id="kind"),
        pytest.param(["--since", "yesterday"], "--since yesterday: give a time before now such as 90m", id="since"),
        pytest.param(["--since", "999999w"], "--since 999999w: give", id="before-all-time"),
    ],
)
def test_refused(storage: None, arguments: list[str], told: str) -> None:
    result = _call(*arguments)

    assert isinstance(result.exception, UserError)
    assert told in str(result.exception)


@pytest.mark.parametrize(
    ("text", "at"),
    [
        pytest.param("90m", datetime(2026, 1, 2, 1, 34, 5, tzinfo=UTC), id="minutes"),
        pytest.param("1w", datetime(2025, 12, 26, 3, 4, 5, tzinfo=UTC), id="week"),
        pytest.param("2026-01-01", datetime(2026, 1, 1, tzinfo=UTC), id="date"),
        pytest.param("2026-01-01T02:00+02:00", datetime(2026, 1, 1, tzinfo=UTC), id="zone"),
    ],
)
def test_moment(text: str, at: datetime) -> None:
    assert moment(text, now=NOW) == at
