"""No text from elsewhere steers the terminal: not in a table, not in an error, not in a warning, not in JSON."""

from __future__ import annotations

import io
import json
import logging

import pytest
from rich.table import Table
from rich.text import Text

from eagleray.cli import edge, printing
from eagleray.cli.screen import Screen
from eagleray.cli.visible import guard_log, visible, visible_json
from eagleray.errors import DataError

TITLE = "\x1b]0;owned\x07"
RED = "\x1b[31mred"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        pytest.param("a line\n\tand another", "a line\n\tand another", id="ends of lines stay"),
        pytest.param("日本 🙂 é", "日本 🙂 é", id="letters of any script stay"),
        pytest.param(TITLE, "\\x1b]0;owned\\x07", id="title of the window"),
        pytest.param("done\rerror", "done\\x0derror", id="overwrites the line"),
        pytest.param("\x9b2J", "\\x9b2J", id="C1: clears the screen"),
        pytest.param("file\u202egpj.exe", "file\\u202egpj.exe", id="turns the reading direction"),
        pytest.param("a\u2028error: b", "a\\u2028error: b", id="a line that nobody wrote"),
    ],
)
def test_visible(text: str, shown: str) -> None:
    assert visible(text) == visible(visible(text)) == shown


def test_json_means_the_same() -> None:
    value = {"label\u202e": ["\x9b2J", "\x7f", TITLE, "日本"]}

    text = visible_json(json.dumps(value, ensure_ascii=False))

    assert json.loads(text) == value
    assert text == visible(text)
    assert "日本" in text


@pytest.mark.parametrize("as_terminal", [True, False], ids=["terminal", "file"])
@pytest.mark.parametrize("cell", [RED, Text(RED)], ids=["text", "rich text"])
def test_a_table(as_terminal: bool, cell: str | Text) -> None:
    table = Table("label")
    table.add_row(cell)
    out = io.StringIO()

    Screen(file=out, force_terminal=as_terminal, width=80).print(table, markup=False)

    assert RED not in out.getvalue()
    assert "\\x1b[31" in out.getvalue()


def test_what_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    printing.show(RED)
    printing.show_json({"label": "\x9b"})

    assert capsys.readouterr().out == '\\x1b[31mred\n{\n  "label": "\\u009b"\n}\n'


def test_what_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    printing.say(f"  {RED}")
    printing.say(TITLE, err=True)
    printing.say_log(f"12%\r100%\n{RED}\n{TITLE}\n")

    told = capsys.readouterr()
    assert told.out == "  \\x1b[31mred\n12%\r100%\nred\n\\x1b]0;owned\\x07\n"
    assert told.err == "\\x1b]0;owned\\x07\n"


def test_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    def command() -> None:
        raise DataError(f"rows.jsonl:2: label {TITLE} is not allowed")

    assert edge.run(command) == 2
    assert capsys.readouterr().err == "error: rows.jsonl:2: label \\x1b]0;owned\\x07 is not allowed\n"


def test_a_warning() -> None:
    guard_log()
    assert logging.lastResort is not None

    told = logging.lastResort.format(logging.makeLogRecord({"msg": "label %s", "args": (RED,)}))

    assert told == "label \\x1b[31mred"
