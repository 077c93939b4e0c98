"""`eagleray keys`."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from eagleray.cli.keys import app
from eagleray.errors import UserError
from eagleray.store import keys
from eagleray.store.key_homes import FileKeys, StoredKeys
from eagleray.store.keys import KeyHome
from eagleray.store.objects import open_storage


def _call(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def _refused(*arguments: str) -> str:
    result = _call(*arguments)
    assert isinstance(result.exception, UserError)
    return str(result.exception)


@pytest.fixture(params=["storage", "file", "environment"])
def at(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, ...]:
    """The arguments that say where the keys are."""
    if request.param == "environment":
        monkeypatch.setenv("EAGLERAY_STORAGE", str(tmp_path / "keys"))
        return ()
    return (f"--{request.param}", str(tmp_path / "keys"))


def _home(at: tuple[str, ...], tmp_path: Path) -> KeyHome:
    return FileKeys(Path(at[1])) if at[:1] == ("--file",) else StoredKeys(open_storage(str(tmp_path / "keys")))


def test_the_key_alone_goes_to_stdout(at: tuple[str, ...], tmp_path: Path) -> None:
    result = _call("create", "alice", *at)
    assert result.exit_code == 0
    found = keys.load(_home(at, tmp_path)).find(result.stdout.strip())
    assert found is not None
    assert (found.name, found.scopes, found.expires_at) == ("alice", ("predict",), None)
    assert "key 1 of alice (predict) works until it is revoked" in result.stderr
    assert result.stdout.strip() not in result.stderr


def test_create_json(at: tuple[str, ...], tmp_path: Path) -> None:
    given = ("--scope", "predict", "--scope", "admin", "--expires", "30d", "--rate", "600", "--json")
    shown = json.loads(_call("create", "alice", *given, *at).stdout)
    assert list(shown) == ["name", "key", "scopes", "expires_at"]
    assert (shown["name"], shown["scopes"]) == ("alice", ["predict", "admin"])
    days = (datetime.fromisoformat(shown["expires_at"]) - datetime.now(UTC)).total_seconds() / 86400
    assert days == pytest.approx(30, abs=0.01)
    found = keys.load(_home(at, tmp_path)).find(shown["key"])
    assert found is not None
    assert found.requests_per_minute == 600


def test_list_shows_neither_keys_nor_hashes(at: tuple[str, ...], tmp_path: Path) -> None:
    texts = [_call("create", name, "--rate", "12345", *at).stdout.strip() for name in ("bob", "alice", "alice")]
    assert _call("revoke", "alice", "--number", "1", *at).stdout == "revoked alice, key 1\n"
    listed = _call("list", "--json", *at).stdout
    assert [(each["name"], each["number"], each["state"]) for each in json.loads(listed)] == [
        ("alice", 1, "revoked"),
        ("alice", 2, "live"),
        ("bob", 1, "live"),
    ]
    table = _call("list", *at).stdout
    assert [line.split()[:5] for line in table.splitlines()[1:]] == [
        ["alice", "1", "revoked", "predict", "12345"],
        ["alice", "2", "live", "predict", "12345"],
        ["bob", "1", "live", "predict", "12345"],
    ]
    assert max(map(len, table.splitlines())) <= 80
    hashes = [record.sha256 for record in _home(at, tmp_path).records()]
    assert not any(secret in listed + table for secret in [*texts, *hashes])


def test_revoke(at: tuple[str, ...], tmp_path: Path) -> None:
    text = _call("create", "alice", *at).stdout.strip()
    assert _call("revoke", "alice", *at).stdout == "revoked alice, key 1\n"
    assert keys.load(_home(at, tmp_path)).find(text) is None
    again = _call("revoke", "alice", *at)
    assert (again.exit_code, again.stdout, again.stderr) == (0, "", "alice is revoked already\n")
    assert "there is no key bob: there are alice" in _refused("revoke", "bob", *at)


def test_a_storage_that_is_not_there(tmp_path: Path) -> None:
    where = ("--storage", str(tmp_path / "none"))
    assert json.loads(_call("list", "--json", *where).stdout) == []
    assert "no keys in" in _call("list", *where).stderr
    assert "there is no directory" in _refused("revoke", "alice", *where)
    assert not (tmp_path / "none").exists()
    assert "there is no keys file" in _refused("list", "--file", str(tmp_path / "none"))


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--file", "a", "--storage", "b"), "exclude each other"),
        (("--scope", "root"), "give predict or admin"),
        (("--expires", "30"), "such as 12h or 30d"),
        (("--expires", "0d"), "such as 12h or 30d"),
        (("--expires", "-1d"), "such as 12h or 30d"),
        (("--expires", "999999w"), "such as 12h or 30d"),
    ],
)
def test_create_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], told: str) -> None:
    monkeypatch.chdir(tmp_path)
    assert told in _refused("create", "alice", *arguments)


@pytest.mark.parametrize("arguments", [("--rate", "0"), ("--rate", "nan")], ids=" ".join)
def test_create_refuses_values(arguments: tuple[str, ...]) -> None:
    assert _call("create", "alice", *arguments).exit_code == 2


@pytest.mark.parametrize("expires", ["1s", "99999w"])
def test_the_shortest_and_the_longest_time(tmp_path: Path, expires: str) -> None:
    assert _call("create", "alice", "--expires", expires, "--file", str(tmp_path / "keys")).exit_code == 0
