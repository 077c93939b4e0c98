"""How does a log look to a program?"""

from __future__ import annotations

import io
import json
import logging
import sys
import warnings
from collections.abc import Iterator
from typing import Any

import pytest

from eagleray import logs
from eagleray.logs import Lines
from tests.support.records import NOW

KEY = "er_" + "a1B2-c3_" * 5


def _lines(behind: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in behind.getvalue().splitlines()]


def test_a_line() -> None:
    behind = io.StringIO()
    lines = Lines(behind, now=lambda: NOW)
    lines.at(run="demo-0001", step=3)
    lines.note("warning", "slow", loss=float("nan"), sizes=(1, 2), at=NOW)

    assert behind.getvalue() == (
        '{"time": "2026-01-02T03:04:05.000Z", "level": "warning", "message": "slow", "run": "demo-0001", "step": 3, '
        '"loss": null, "sizes": [1, 2], "at": "2026-01-02 03:04:05+00:00"}\n'
    )


@pytest.mark.parametrize(
    "message",
    [
        'a\n{"level": "error", "message": "forged"}',
        "a\r\nb",
        "a\u2028b\u2029c\x85d\x0be",
        'a", "level": "error',
        "half a character: \udcff",
        "\x1b[31mred",
    ],
    ids=["line-end", "carriage-return", "ends-of-lines-of-unicode", "quote", "surrogate", "colour"],
)
def test_whatever_is_said_stays_one_line(message: str) -> None:
    behind = io.StringIO()
    Lines(behind).note("info", message)

    assert len(behind.getvalue().splitlines()) == 1
    assert behind.getvalue().isascii()
    (line,) = _lines(behind)
    assert (line["level"], line["message"]) == ("info", message)


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        pytest.param(f"key {KEY} works", "key *** works", id="key"),
        pytest.param("Authorization: Bearer abcDEF123.x-y", "Authorization: Bearer ***", id="bearer"),
        pytest.param("at https://me:pass@host/x", "at https://***@host/x", id="password-in-a-url"),
        pytest.param("GET /o?sig=a%2Fb&x=1", "GET /o?sig=***&x=1", id="signed-url"),
        pytest.param("refused: hunter2-hunter2", "refused: ***", id="value-of-the-environment"),
        pytest.param("s3://bucket/runs at 10:20 by me@host", "s3://bucket/runs at 10:20 by me@host", id="no-secret"),
    ],
)
def test_secrets_are_blank(monkeypatch: pytest.MonkeyPatch, message: str, shown: str) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "hunter2-hunter2")
    behind = io.StringIO()
    Lines(behind).note("info", message, nested={"deep": [message]})
    (line,) = _lines(behind)

    assert line["message"] == shown
    assert line["nested"] == {"deep": [shown]}


def test_what_is_printed_is_told_line_by_line() -> None:
    behind = io.StringIO()
    lines = Lines(behind)
    for text in ("half", " a line\nanother\r\n\n", "10 %\r20 %\r", "the rest"):
        lines.write(text)
    lines.write("\n")

    assert [line["message"] for line in _lines(behind)] == ["half a line", "another", "10 %", "20 %", "the rest"]
    assert not lines.isatty()


@pytest.fixture
def ended() -> Iterator[None]:
    yield
    logs.end()


def test_begin_and_end(ended: None, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)  # Python's own, whatever was run in this process before
    there = logging.StreamHandler(sys.stderr)  # as in Ray's workers
    logging.getLogger().addHandler(there)
    logs.begin(run="a-0001", rank=1)
    logs.begin(run="b-0001", shard=None)
    logs.at(step=7)
    logging.getLogger("eagleray.train.saving").info("saved")
    logging.getLogger("other").info("not ours")
    try:
        raise ValueError("odd")
    except ValueError:
        logging.getLogger("other").exception("failed")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("old", DeprecationWarning, stacklevel=1)
    sys.stderr.write("printed")
    logs.end()
    sys.stderr.write("plain\n")

    *lines, last = capsys.readouterr().err.splitlines()
    told = [json.loads(line) for line in lines]
    assert last == "plain"
    assert there in logging.getLogger().handlers
    logging.getLogger().removeHandler(there)
    assert all((each["run"], each["rank"], each["step"]) == ("b-0001", 1, 7) for each in told)
    assert [each["level"] for each in told] == ["info", "error", "warning", "info"]
    assert told[0]["logger"] == "eagleray.train.saving"
    assert "ValueError: odd" in told[1]["exception"]
    assert "DeprecationWarning: old" in told[2]["message"]
    assert told[3]["message"] == "printed"
    assert logs.active() is None
