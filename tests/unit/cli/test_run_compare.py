"""`eagleray runs compare`."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from eagleray.cli.runs import app
from eagleray.errors import UserError
from eagleray.store import runs
from eagleray.store.objects import Objects, open_storage
from tests.support.records import DOCUMENT, LOCK, NOW, new_run


@pytest.fixture
def objects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Objects:
    monkeypatch.setenv("EAGLERAY_STORAGE", str(tmp_path))
    return open_storage(str(tmp_path))


def _run(objects: Objects, document: str = DOCUMENT, lock: runs.LockRecord = LOCK, **changes: Any) -> None:
    record = runs.create(objects, name="demo", document=document, lock=lock, now=NOW)
    runs.save(objects, record.model_copy(update=changes))


def _two(objects: Objects) -> None:
    _run(objects, metrics={"test": {"f1_macro": 0.5, "loss": 0.25}}, ended_at=NOW + timedelta(minutes=3))
    document = (
        f"{DOCUMENT}  train: {{learning_rate: 0.001}}\n  method: {{type: lora, rank: 4, target_modules: ['[a]']}}\n"
    )
    lock = LOCK.model_copy(update={"data_fingerprint": "e" * 16, "versions": {"torch": "2.13.1"}})
    _run(objects, document, lock, metrics={"test": {"f1_macro": 0.75, "loss": 0.5}}, phase="failed")


def _call(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["compare", *arguments])


def test_json(objects: Objects) -> None:
    _two(objects)
    found = json.loads(_call("demo-0001", "demo-0002", "--json").stdout)

    differing = {each["key"]: each["values"] for each in found["document"]}
    assert differing["train.learning_rate"]["demo-0002"] == 0.001
    assert differing["method.rank"] == {"demo-0001": None, "demo-0002": 4}
    assert "model.source" not in differing
    assert [each["key"] for each in found["made_with"]] == ["versions.torch", "data_fingerprint"]
    assert found["has_same_data"] is False
    assert [(each["metric"], each["best"]) for each in found["metrics"]] == [
        ("f1_macro", ["demo-0002"]),
        ("loss", ["demo-0001"]),
    ]
    assert [run["seconds"] for run in found["runs"]] == [180, None]


def test_table(objects: Objects) -> None:
    _two(objects)
    shown = _call("demo-0001", "demo-0002").stdout
    lines = [line.split() for line in shown.splitlines()]

    assert max(map(len, shown.splitlines())) <= 80
    for expected in (
        ["A", "demo-0001", "pending", "2026-01-02", "03:04", "3", "min", "0", "s", "0"],
        ["method.type", "full", "lora"],
        ["method.target_modules", "-", '["[a]"]'],
        ["versions.torch", "2.13.0", "2.13.1"],
        ["data_fingerprint", "ffffffffffff", "eeeeeeeeeeee"],
        ["test", "f1_macro", "0.5", "0.75*"],
        ["test", "loss", "0.25*", "0.5"],
    ):
        assert expected in lines
    assert "not scores of the same rows" in shown


def test_a_document_of_another_version_is_compared_as_it_stands(objects: Objects) -> None:
    _run(objects)
    _run(objects, DOCUMENT + "  novelty: {level: 3}\n")
    found = json.loads(_call("demo-0001", "demo-0002", "--json").stdout)

    assert found["document"] == [{"key": "novelty.level", "values": {"demo-0001": None, "demo-0002": 3}}]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        pytest.param(["demo-0001"], "one run has nothing to be compared with: give two or more", id="one"),
        pytest.param(["demo", "demo-0001"], "demo and demo-0001 are one run, demo-0001", id="twice-the-same"),
        pytest.param(["demo-0001", "dmo-0001"], "did you mean demo-0001", id="unknown"),
    ],
)
def test_refused(objects: Objects, arguments: list[str], told: str) -> None:
    _run(objects, phase="succeeded")
    result = _call(*arguments)

    assert isinstance(result.exception, UserError)
    assert told in str(result.exception)


def test_many_runs_are_for_programs(objects: Objects) -> None:
    names = [new_run(objects, f"run-{number}").run for number in range(9)]

    assert "at most 8, or add --json" in str(_call(*names).exception)
    assert len(json.loads(_call(*names, "--json").stdout)["runs"]) == 9
