"""`eagleray register`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from eagleray.cli.register import register
from eagleray.errors import UserError
from eagleray.store import registry, runs
from eagleray.store.objects import Objects, open_storage
from tests.support.records import new_run
from tests.support.trained_runs import new_trained_run

app = typer.Typer()
app.command()(register)


@pytest.fixture
def objects(tmp_path: Path) -> Objects:
    return open_storage(str(tmp_path / "storage"))


def _call(objects: Objects, *arguments: str) -> Result:
    return CliRunner().invoke(app, [*arguments, "--storage", objects.uri])


def test_the_result_is_on_stdout_and_the_rest_on_stderr(objects: Objects, tmp_path: Path) -> None:
    run = new_trained_run(objects, tmp_path, task={"type": "causal-lm"})
    runs.save(objects, runs.read(objects, run).model_copy(update={"phase": "succeeded"}))

    first, again = _call(objects, run, "--name", "films"), _call(objects, run, "--name", "films", "--json")

    assert first.exit_code == again.exit_code == 0, first.output
    assert first.stdout == "films@1\n"
    assert "storing films@1" in first.stderr
    assert "warning: no golden set, because the run's data cannot be read any more" in first.stderr
    assert json.loads(again.stdout) == registry.read(objects, "films", 1).model_dump(mode="json")
    assert again.stderr == f"{run} is registered already, as films@1\n"


def test_a_run_that_is_not_there(objects: Objects) -> None:
    new_run(objects, name="films")

    assert isinstance(_call(objects, "film").exception, UserError)
