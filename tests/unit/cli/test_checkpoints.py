"""`eagleray checkpoints`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from eagleray.cli.checkpoints import app
from eagleray.errors import UserError
from eagleray.store import checkpoints, lease, paths, runs
from eagleray.store.checkpoints import Manifest
from eagleray.store.objects import Objects, open_storage
from eagleray.store.renewal import renewed
from tests.support.records import NOW, new_checkpoint, new_run


@pytest.fixture
def objects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Objects:
    monkeypatch.setenv("EAGLERAY_STORAGE", str(tmp_path / "storage"))
    return open_storage(str(tmp_path / "storage"))


@pytest.fixture
def saved(objects: Objects, tmp_path: Path) -> list[Manifest]:
    """Three checkpoints, the second of them the best, the third of the second attempt."""
    run = new_run(objects, best_step=10).run
    numbers = {5: 1, 10: 1, 15: 2}
    return [new_checkpoint(objects, run, step=step, lease=number, scratch=tmp_path) for step, number in numbers.items()]


def _call(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def _json(*arguments: str, exit_code: int = 0) -> Any:
    result = _call(*arguments, "--json")
    assert result.exit_code == exit_code, result.output
    return json.loads(result.stdout)


def _told(*arguments: str) -> str:
    result = _call(*arguments)
    assert isinstance(result.exception, UserError), result.output
    return str(result.exception)


def _damage(objects: Objects, manifest: Manifest) -> str:
    key = f"{paths.checkpoint(manifest.run, manifest.step, manifest.lease)}/model.bin"
    objects.put(key, b"WEIGHTS of 5")
    return key


# list


def test_list(saved: list[Manifest]) -> None:
    shown = _call("list", "demo").stdout
    lines = [line.split() for line in shown.splitlines()]
    assert max(map(len, shown.splitlines())) <= 80
    assert ["step", "5", "1", "1,", "5", "17", "bytes", "2", "2026-01-02", "03:04"] in lines
    assert lines[2][-1] == "best"
    assert lines[3][:3] == ["step", "15", "2"]


def test_list_of_large_numbers_fits_80_columns(objects: Objects, tmp_path: Path) -> None:
    run = new_run(objects, best_step=10_000_000).run
    new_checkpoint(objects, run, step=10_000_000, lease=12345, scratch=tmp_path)
    assert max(map(len, _call("list", run).stdout.splitlines())) <= 80


def test_list_json(saved: list[Manifest]) -> None:
    listed = _json("list", "demo")
    assert [each.pop("is_best") for each in listed] == [False, True, False]
    assert listed == [manifest.model_dump(mode="json") for manifest in saved]


def test_nothing_to_list(objects: Objects) -> None:
    new_run(objects)
    result = _call("list", "demo")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "demo-0001 has no checkpoint\n")
    assert _json("list", "demo") == []


# verify


def test_verify(saved: list[Manifest]) -> None:
    result = _call("verify", "demo")
    assert (result.exit_code, result.stdout) == (0, "step 5  whole\nstep 10  whole\nstep 15  whole\n")
    assert _json("verify", "demo", "--step", "10") == [{"step": 10, "lease": 1, "problems": []}]


def test_verify_names_the_damaged_file_and_fails(objects: Objects, saved: list[Manifest]) -> None:
    key = _damage(objects, saved[0])
    result = _call("verify", "demo")
    assert result.exit_code == 1
    assert result.stdout == (
        f"step 5  DAMAGED\n  {key} has another content than the manifest says (sha256)\n"
        "step 10  whole\nstep 15  whole\n"
    )
    assert _json("verify", "demo", exit_code=1)[0]["problems"] == [
        f"{key} has another content than the manifest says (sha256)"
    ]
    assert _call("verify", "demo", "--step", "10").exit_code == 0


def test_verify_finds_a_damaged_manifest(objects: Objects, saved: list[Manifest]) -> None:
    key = paths.manifest("demo-0001", 10, 1)
    objects.put(key, b"")
    assert _json("verify", "demo", exit_code=1)[1]["problems"] == [f"{key} is missing or damaged"]


# export


@pytest.mark.parametrize(
    ("options", "best_step", "step"),
    [
        pytest.param([], 10, 10, id="best"),
        pytest.param([], None, 15, id="newest"),
        pytest.param([], 7, 15, id="the-best-is-gone"),
        pytest.param(["--step", "5"], 10, 5, id="step"),
    ],
)
def test_export(
    objects: Objects, saved: list[Manifest], tmp_path: Path, options: list[str], best_step: int | None, step: int
) -> None:
    runs.save(objects, runs.read(objects, "demo-0001").model_copy(update={"best_step": best_step}))
    to = tmp_path / "new" / "model"
    result = _call("export", "demo", "--to", str(to), *options)
    assert result.exit_code == 0, result.output
    assert result.stdout == f"exported step {step} of demo-0001 to {to}: 1 files, {11 + len(str(step))} bytes\n"
    assert {path.name: path.read_bytes() for path in to.iterdir()} == {"model.bin": b"weights of %d" % step}
    assert [path.name for path in to.parent.iterdir()] == ["model"]


def test_export_into_an_empty_directory(saved: list[Manifest], tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    told = _json("export", "demo", "--to", str(tmp_path / "model"))
    assert told == {
        "run": "demo-0001",
        "step": 10,
        "lease": 1,
        "directory": str(tmp_path / "model"),
        "size_bytes": 13,
    }
    assert (tmp_path / "model" / "model.bin").exists()


@pytest.mark.parametrize("name", ["full", "file"])
def test_export_overwrites_nothing(saved: list[Manifest], tmp_path: Path, name: str) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("")
    (tmp_path / "file").write_text("")
    assert "it is not empty" in _told("export", "demo", "--to", str(tmp_path / name))
    assert sorted(path.name for path in (tmp_path / "full").iterdir()) == ["mine"]


def test_export_of_a_damaged_checkpoint_leaves_nothing(objects: Objects, saved: list[Manifest], tmp_path: Path) -> None:
    _damage(objects, saved[0])
    result = _call("export", "demo", "--to", str(tmp_path / "out" / "model"), "--step", "5")
    assert isinstance(result.exception, checkpoints.CheckpointDamaged)
    assert list((tmp_path / "out").iterdir()) == []


def test_export_without_a_model(objects: Objects, tmp_path: Path) -> None:
    new_checkpoint(objects, new_run(objects).run, step=5, scratch=tmp_path, files={paths.state_shard(0): b""})
    assert "holds no model, only training state" in _told("export", "demo", "--to", str(tmp_path / "model"))


# reshape


def test_a_run_that_goes_on_is_not_reshaped(objects: Objects, saved: list[Manifest]) -> None:
    taken = lease.take(objects, "demo-0001", lease.this_process(), now=lambda: NOW)
    with renewed(objects, "demo-0001", taken, on_trouble=print, every_s=0.1):
        assert "run demo-0001 is being driven by process" in _told("reshape", "demo", "--num-workers", "1")
    assert len(checkpoints.list_manifests(objects, "demo-0001")) == 3


# What is not there


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        pytest.param(["list", "dmo"], "did you mean demo", id="run"),
        pytest.param(["verify", "demo", "--step", "7"], "no checkpoint of step 7: there are 5, 10, 15", id="verify"),
        pytest.param(
            ["export", "demo", "--to", "x", "--step", "7"], "of step 7: there are steps 5, 10, 15", id="export"
        ),
        pytest.param(
            ["reshape", "demo", "--num-workers", "2"], "of step 15 is cut for 2 workers already", id="reshape-same"
        ),
        pytest.param(
            ["list", "demo", "--storage", "not-there"],
            "not-there: give the storage of the runs by --storage",
            id="storage",
        ),
    ],
)
def test_refusals(saved: list[Manifest], arguments: list[str], told: str) -> None:
    assert told in _told(*arguments)


@pytest.mark.parametrize(
    "arguments",
    [["verify", "demo"], ["export", "demo", "--to", "x"], ["reshape", "demo", "--num-workers", "1"]],
    ids=lambda arguments: arguments[0],
)
def test_a_run_without_checkpoints(objects: Objects, arguments: list[str]) -> None:
    new_run(objects)
    assert _told(*arguments) == "run demo-0001 has no checkpoint: it is saved after every checkpoint.every_steps steps"
