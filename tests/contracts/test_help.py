"""What `--help` says: every command has an example that it takes, in lines that fit a terminal, without colours."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from eagleray.cli import edge
from eagleray.cli.app import app, main

WIDTH = 80
ROOT = Path(__file__).parents[2]


def _walk(node: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    yield path, node
    for name, child in getattr(node, "commands", {}).items():
        yield from _walk(child, (*path, name))


COMMANDS = [pytest.param(path, node, id=" ".join(path)) for path, node in _walk(get_command(app), ("eagleray",))]


def _help(path: tuple[str, ...], node: Any) -> str:
    return str(node.get_help(node.context_class(node, info_name=" ".join(path), terminal_width=WIDTH)))


def _examples(text: str) -> list[str]:
    block = re.search(r"Examples?:\n((?:    .*\n?)+)", text)
    return re.findall(r"eagleray .*", block[1]) if block else []


@pytest.mark.parametrize(("path", "node"), COMMANDS)
def test_fits_and_has_an_example_of_itself(path: tuple[str, ...], node: Any) -> None:
    text = _help(path, node)

    assert [line for line in text.splitlines() if len(line) > WIDTH] == []
    assert "\x1b" not in text
    examples = _examples(text)
    assert examples
    assert all(example.startswith("eagleray ") for example in examples)
    if len(path) > 1:
        own = " ".join(path).removesuffix(" run")  # `sweep FILE` is `sweep run FILE`
        assert any(example.startswith(own) for example in examples), examples


@pytest.mark.parametrize(("path", "node"), COMMANDS)
def test_examples_are_taken(path: tuple[str, ...], node: Any) -> None:
    for example in _examples(_help(path, node)):
        words = shlex.split(re.split(r"\s[|>#]", example)[0], comments=True)[1:]
        asked: Any = get_command(app)
        while words and hasattr(asked, "commands"):
            context = asked.context_class(asked, info_name=asked.name)
            asked.parse_args(context, words)
            name, *words = [*context._protected_args, *context.args]
            asked = asked.commands[name]
        asked.make_parser(asked.context_class(asked, info_name=asked.name)).parse_args(words)


@pytest.mark.parametrize("variable", [{"NO_COLOR": "1"}, {"TERM": "dumb"}], ids=["NO_COLOR", "dumb"])
def test_an_error_without_colours(
    variable: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in variable.items():
        monkeypatch.setenv(name, value)

    assert main(["plan", "no-such-file.yaml"]) == 2

    assert "\x1b" not in capsys.readouterr().err
    assert edge._color() is False, "on a terminal, too"


def test_completion_of_bash() -> None:
    """What bash asks when somebody presses Tab after `eagleray ru`: a process, since the answer ends it."""
    asked = {"_EAGLERAY_COMPLETE": "complete_bash", "COMP_WORDS": "eagleray ru", "COMP_CWORD": "1"}
    done = subprocess.run(
        [sys.executable, "-c", "import sys; from eagleray.cli.app import main; sys.exit(main([]))"],
        env={**os.environ, "PYTHONPATH": str(ROOT / "src"), **asked},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.stdout.split(), done.returncode) == (["runs"], 0), done.stderr
