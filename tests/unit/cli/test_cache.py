"""`eagleray cache`."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from eagleray.cli.cache import app
from eagleray.errors import UserError
from eagleray.store import cache


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EAGLERAY_CACHE", str(tmp_path / "cache"))
    for name, age_days in (("old", 40), ("new", 2)):
        file = cache.folder("data") / name
        file.write_bytes(bytes(1500))
        at = time.time() - age_days * 86400
        os.utime(file, (at, at))
    return tmp_path / "cache"


def _call(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def test_list(root: Path) -> None:
    shown = _call("list").stdout
    lines = [line.split() for line in shown.splitlines()]
    assert [line[:4] for line in lines[1:3]] == [["data", "old", "1.5", "kB"], ["data", "new", "1.5", "kB"]]
    assert lines[-1] == ["all", "3.0", "kB"]
    assert max(map(len, shown.splitlines())) <= 80


def test_list_json(root: Path) -> None:
    found = json.loads(_call("list", "--json").stdout)
    assert [(each["path"], each["kind"], each["size_bytes"]) for each in found] == [
        (str(root / "data" / "old"), "data", 1500),
        (str(root / "data" / "new"), "data", 1500),
    ]


def test_an_empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EAGLERAY_CACHE", str(tmp_path / "none"))
    result = _call("list")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "none is empty" in result.stderr
    assert json.loads(_call("list", "--json").stdout) == []
    assert _call("prune", "--all", "--yes").stdout.startswith("0 bytes freed")


@pytest.mark.parametrize(
    ("arguments", "freed", "left"),
    [
        pytest.param([], 1500, ["new"], id="default-30-days"),
        pytest.param(["--older-than", "1"], 3000, [], id="older-than-1"),
        pytest.param(["--older-than", "50"], 0, ["new", "old"], id="older-than-50"),
        pytest.param(["--all"], 3000, [], id="all"),
    ],
)
def test_prune(root: Path, arguments: list[str], freed: int, left: list[str]) -> None:
    result = _call("prune", *arguments, "--yes", "--json")
    assert json.loads(result.stdout) == {"root": str(root), "freed_bytes": freed}
    assert sorted(path.name for path in (root / "data").iterdir()) == left


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--all", "--older-than", "3", "--yes"], "exclude each other"),
        (["--all"], "Nobody can be asked here: add --yes"),
    ],
    ids=["both", "nobody-to-ask"],
)
def test_prune_refuses(root: Path, arguments: list[str], told: str) -> None:
    result = _call("prune", *arguments)
    assert isinstance(result.exception, UserError)
    assert told in str(result.exception)
    assert len(cache.entries()) == 2
