"""`eagleray sweep show`."""

from __future__ import annotations

import json
from pathlib import Path

from typer.testing import CliRunner

from eagleray.cli.sweep import app
from eagleray.store import events, paths, sweeps
from eagleray.store.objects import open_storage
from tests.support.records import new_checkpoint, new_run
from tests.support.sweep_events import begun, created, ended, reported, started


def test_show_json(tmp_path: Path) -> None:
    """Each trial with its own checkpoint, by number."""
    storage = str(tmp_path / "storage")
    objects = open_storage(storage)
    run = new_run(objects, "films", kind=sweeps.KIND, phase="succeeded").run
    trials = sweeps.open_trials(storage, run)
    writer = events.Writer(objects, run)
    writer.append(started())
    for number, f1_macro in enumerate((0.2, 0.9, 0.5)):
        for event in (created(number), begun(number), reported(number, 10, f1_macro=f1_macro), ended(number, 10)):
            writer.append(event)
        scratch = tmp_path / str(number)
        new_checkpoint(trials, f"trial-{number}-0001", step=10, scratch=scratch, f1_macro=f1_macro)

    result = CliRunner().invoke(app, ["show", "films", "--storage", storage, "--json"])

    assert result.exit_code == 0, result.output
    shown = json.loads(result.stdout)
    assert [(trial["trial"], trial["metric"]) for trial in shown["trials"]] == [(0, 0.2), (1, 0.9), (2, 0.5)]
    assert [trial["checkpoint"] for trial in shown["trials"]] == [
        f"{trials.uri}/{paths.checkpoint(f'trial-{number}-0001', 10, 1)}" for number in range(3)
    ]
    assert shown["best"] == shown["trials"][1]
