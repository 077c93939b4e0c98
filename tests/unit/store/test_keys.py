"""A key works from when it is made until it expires or is revoked, and nothing that is kept gives it away."""

from __future__ import annotations

import json
import stat
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from eagleray.errors import StorageError, UserError
from eagleray.store import keys, paths
from eagleray.store.key_homes import FileKeys, StoredKeys
from eagleray.store.keys import KeyHome, KeyRecord, KeyRing
from eagleray.store.objects import Objects, open_storage
from eagleray.store.records import Damaged
from tests.support.records import NOW

HOUR = timedelta(hours=1)


@pytest.fixture(params=["local", "s3", "file"])
def home(request: pytest.FixtureRequest, tmp_path: Path) -> KeyHome:
    match request.param:
        case "local":
            return StoredKeys(open_storage(str(tmp_path / "storage")))
        case "s3":
            return StoredKeys(open_storage(request.getfixturevalue("s3_uri")))
        case _:
            return FileKeys(tmp_path / "keys.json")


def _ring(home: KeyHome, now: datetime = NOW) -> KeyRing:
    return KeyRing(keys.load(home).records, lambda: now)


def test_a_key_is_found_by_its_text_alone(home: KeyHome) -> None:
    made = keys.create(home, "alice", now=NOW, scopes=("predict", "admin"), requests_per_minute=60)
    keys.create(home, "bob", now=NOW)
    assert made.text.startswith("er_")
    assert len(made.text) >= 46  # 256 bits in base64
    assert _ring(home).find(made.text) == made.record
    assert (made.record.number, made.record.scopes, made.record.requests_per_minute) == (1, ("predict", "admin"), 60)
    for other in ("", "er_", made.text[:-1], made.text + "x", made.record.sha256, made.text.swapcase(), "é\udcff"):
        assert _ring(home).find(other) is None


@pytest.mark.parametrize(
    ("fields", "after", "state"),
    [
        pytest.param({}, HOUR * 10**5, "live", id="never-ends"),
        pytest.param({"expires_at": NOW + HOUR}, HOUR / 2, "live", id="before-its-end"),
        pytest.param({"expires_at": NOW + HOUR}, HOUR, "expired", id="at-its-end"),
        pytest.param({"revoked_at": NOW}, HOUR, "revoked", id="revoked"),
        pytest.param({"revoked_at": NOW, "expires_at": NOW}, HOUR, "revoked", id="both"),
    ],
)
def test_states(fields: dict[str, Any], after: timedelta, state: str) -> None:
    sha256 = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b"  # of "secret"
    record = KeyRecord(name="a", number=1, sha256=sha256, scopes=("predict",), created_at=NOW, **fields)
    assert record.state(NOW + after) == state
    found = KeyRing((record,), lambda: NOW + after).find("secret")
    assert found == (record if state == "live" else None)


def test_a_hash_that_is_there_twice_works_only_if_both_do() -> None:
    sha256 = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b"
    live = KeyRecord(name="a", number=1, sha256=sha256, scopes=("predict",), created_at=NOW)
    revoked = live.model_copy(update={"name": "b", "revoked_at": NOW})
    assert KeyRing((live, live)).find("secret") == live
    assert KeyRing((live, revoked)).find("secret") is None
    assert KeyRing((revoked, live)).find("secret") is None


def test_rotation(home: KeyHome) -> None:
    first, second = keys.create(home, "alice", now=NOW), keys.create(home, "alice", now=NOW)
    assert (first.record.number, second.record.number) == (1, 2)
    assert _ring(home).find(first.text) == first.record
    assert [record.number for record in keys.revoke(home, "alice", number=1, now=NOW)] == [1]
    assert _ring(home).find(first.text) is None
    assert _ring(home).find(second.text) == second.record
    third = keys.create(home, "alice", now=NOW)
    assert [record.number for record in keys.revoke(home, "alice", now=NOW + HOUR)] == [2, 3]
    assert [record.revoked_at for record in home.records()] == [NOW, NOW + HOUR, NOW + HOUR]
    assert _ring(home).find(third.text) is None
    assert keys.revoke(home, "alice", now=NOW + 2 * HOUR) == []


@pytest.mark.parametrize(
    ("name", "number", "told"),
    [
        ("carol", None, "there are alice, bob"),
        ("alice", 7, "it has 1, 2"),
        ("../runs", None, "there is no key ../runs"),
    ],
)
def test_revoke_says_which_keys_there_are(home: KeyHome, name: str, number: int | None, told: str) -> None:
    for each in ("alice", "bob", "alice"):
        keys.create(home, each, now=NOW)
    with pytest.raises(UserError, match=told):
        keys.revoke(home, name, number=number, now=NOW)


@pytest.mark.parametrize("name", ["", "Alice", "a b", "../runs", "a/b", "-a", "a" * 41, "a\n"])
def test_a_name_is_a_dns_label(home: KeyHome, name: str) -> None:
    with pytest.raises(UserError, match="cannot be the name of a key"):
        keys.create(home, name, now=NOW)


def test_of_many_made_at_once_each_works(home: KeyHome) -> None:
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda _: keys.create(home, "alice", now=NOW), range(8)))
    assert [record.number for record in home.records()] == list(range(1, 9))
    assert all(_ring(home).find(each.text) == each.record for each in made)


def test_nothing_kept_or_shown_holds_the_key(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    made = keys.create(FileKeys(file), "alice", now=NOW)
    secret = made.text.removeprefix(keys.PREFIX)
    assert secret not in file.read_text()
    assert secret not in repr(made)
    assert made.record.sha256 not in repr(made.record)


class TestStored:
    def test_a_damaged_or_misplaced_record_keeps_nobody_else_out(
        self, objects: Objects, caplog: pytest.LogCaptureFixture
    ) -> None:
        home = StoredKeys(objects)
        made = keys.create(home, "alice", now=NOW)
        objects.put(paths.api_key("bob", 1), b"{")
        objects.put(paths.api_key("carol", 1), objects.read(paths.api_key("alice", 1)))
        assert keys.load(home).records == (made.record,)
        assert "damaged" in caplog.text
        assert "lies under another's key" in caplog.text
        assert keys.create(home, "bob", now=NOW).record.number == 2

    def test_only_what_changed_is_read_again(self, local: Objects, monkeypatch: pytest.MonkeyPatch) -> None:
        mine, another = StoredKeys(local), StoredKeys(local)
        for name in ("alice", "bob"):
            keys.create(mine, name, now=NOW)
        mine.records()
        read: list[str] = []
        original = local.read
        monkeypatch.setattr(local, "read", lambda key: read.append(key) or original(key))
        mine.records()
        assert read == []
        keys.revoke(another, "bob", now=NOW)
        read.clear()
        assert [record.revoked_at for record in mine.records()] == [None, NOW]
        assert read == [paths.api_key("bob", 1)]

    def test_a_creation_whose_answer_was_lost_is_ours(self, local: Objects, monkeypatch: pytest.MonkeyPatch) -> None:
        original = local.create
        monkeypatch.setattr(local, "create", lambda key, data: original(key, data) and False)
        home = StoredKeys(local)
        made = keys.create(home, "alice", now=NOW)
        assert made.record.number == 1
        assert home.records() == [made.record]

    def test_there_are_none(self, objects: Objects) -> None:
        assert keys.load(StoredKeys(objects)).records == ()


class TestFile:
    def test_only_its_owner_may_read_it(self, tmp_path: Path) -> None:
        file = tmp_path / "keys.json"
        for _ in range(2):
            keys.create(FileKeys(file), "alice", now=NOW)
            assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert [path.name for path in tmp_path.iterdir()] == ["keys.json"]

    def test_a_link_stays_a_link(self, tmp_path: Path) -> None:
        (tmp_path / "data").mkdir()
        link = tmp_path / "keys.json"
        link.symlink_to("data/keys.json")
        made = keys.create(FileKeys(link), "alice", now=NOW)
        assert link.is_symlink()
        assert keys.load(FileKeys(link)).find(made.text) == made.record

    @pytest.mark.parametrize("text", ["", "[]", '{"keys": [{"name": "a", "key": "er_secret"}]}', "\xff"])
    def test_what_is_no_keys_file_is_refused_and_not_quoted(self, tmp_path: Path, text: str) -> None:
        file = tmp_path / "keys.json"
        file.write_text(text)
        with pytest.raises(Damaged, match="no keys file") as refusal:
            keys.load(FileKeys(file))
        assert "er_secret" not in str(refusal.value)
        with pytest.raises(Damaged):
            keys.create(FileKeys(file), "alice", now=NOW)
        assert file.read_text() == text

    def test_there_is_none(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match="there is no keys file"):
            keys.load(FileKeys(tmp_path / "keys.json"))
        with pytest.raises(StorageError, match="cannot write"):
            keys.create(FileKeys(tmp_path / "none" / "keys.json"), "alice", now=NOW)

    def test_its_form(self, tmp_path: Path) -> None:
        file = tmp_path / "keys.json"
        keys.create(FileKeys(file), "alice", now=NOW)
        (kept,) = json.loads(file.read_text())["keys"]
        assert set(kept) == set(KeyRecord.model_fields)
