"""Who shows a key or a token that works is known by its name; everybody else gets the same answer."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from eagleray.errors import StorageError, UserError
from eagleray.serving import auth, problems
from eagleray.serving.auth import Authority, Caller, NoAuth, Refused, Tokens
from eagleray.store import keys
from eagleray.store.key_homes import FileKeys
from eagleray.store.keys import KeyRing
from tests.support.records import NOW

SECRET = b"s" * 32


class Keys:
    """A source of keys that can fail, and a clock."""

    def __init__(self, folder: Path) -> None:
        self.home = FileKeys(folder / "keys.json")
        self.fails = False
        self.now = 0.0

    def load(self) -> KeyRing:
        if self.fails:
            raise StorageError("the storage is gone")
        return KeyRing(keys.load(self.home).records, lambda: NOW)

    def authority(self, tokens: Tokens | None = None) -> Authority:
        return Authority(self.load, tokens=tokens, clock=lambda: self.now)


@pytest.fixture
def source(tmp_path: Path) -> Keys:
    return Keys(tmp_path)


def _status(authority: Authority, authorization: str | None) -> int:
    with pytest.raises(Refused) as refusal:
        authority.identify(authorization)
    return refusal.value.status


def test_a_key_says_who_calls(source: Keys) -> None:
    made = keys.create(source.home, "alice", now=NOW, scopes=("predict",), requests_per_minute=60)
    authority = source.authority()
    assert asyncio.run(authority.refresh())
    for header in (f"Bearer {made.text}", f"bearer  {made.text} ", f"BEARER {made.text}"):
        assert authority.identify(header) == Caller("alice", frozenset({"predict"}), 60)


def test_every_refusal_is_the_same(source: Keys) -> None:
    good = keys.create(source.home, "alice", now=NOW).text
    expired = keys.create(source.home, "bob", now=NOW - timedelta(days=2), expires_at=NOW - timedelta(days=1)).text
    revoked = keys.create(source.home, "carol", now=NOW).text
    keys.revoke(source.home, "carol", now=NOW)
    authority = source.authority()
    asyncio.run(authority.refresh())
    headers = [
        *(None, "", "Bearer", "Bearer ", good, f"Basic {good}", f"Token {good}", f"Bearer{good}", f"Bearer {good}x"),
        *(f"Bearer {good} x", f"Bearer {expired}", f"Bearer {revoked}", "Bearer er_" + "0" * 43, "Bearer é"),
        f"Bearer {_token(SECRET)}",
    ]
    for header in headers:
        with pytest.raises(Refused) as refusal:
            authority.identify(header)
        assert refusal.value.problem == problems.unauthorized(), header


def test_scopes_do_not_include_each_other() -> None:
    admin = Caller("a", frozenset({"admin"}))
    auth.require(admin, "admin")
    with pytest.raises(Refused, match="lacks the scope `predict`") as refusal:
        auth.require(admin, "predict")
    assert refusal.value.status == 403


def test_none_lets_everybody_in() -> None:
    caller = NoAuth().identify(None)
    assert caller == NoAuth().identify("Bearer x")
    for scope in ("predict", "admin"):
        auth.require(caller, scope)


@asynccontextmanager
async def looking(authority: Authority) -> AsyncIterator[None]:
    """Have the keys read beside what is done here."""
    task = asyncio.create_task(authority.keep_fresh())
    yield
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


class TestFresh:
    def test_what_is_revoked_is_refused_after_the_next_look(self, source: Keys) -> None:
        async def test() -> None:
            authority = Authority(source.load, reload_s=0.001)
            async with looking(authority):
                header = f"Bearer {keys.create(source.home, 'alice', now=NOW).text}"
                while not _knows(authority, header):
                    await asyncio.sleep(0.001)
                keys.revoke(source.home, "alice", now=NOW)
                while _knows(authority, header):
                    await asyncio.sleep(0.001)

        asyncio.run(asyncio.wait_for(test(), 20))

    def test_a_new_key_is_looked_for_when_it_is_shown(self, source: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
        async def test() -> None:
            authority = Authority(source.load, reload_s=3600)
            async with looking(authority):
                for name in ("alice", "bob"):  # the first look of all may see the first one
                    header = f"Bearer {keys.create(source.home, name, now=NOW).text}"
                    while not _knows(authority, header):
                        await asyncio.sleep(0.001)

        monkeypatch.setattr(auth, "UNKNOWN_S", 0.01)
        asyncio.run(asyncio.wait_for(test(), 20))

    def test_unknown_keys_do_not_have_the_storage_read_all_the_time(
        self, source: Keys, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        looks: list[int] = []

        def load() -> KeyRing:
            looks.append(1)
            return source.load()

        async def test() -> None:
            authority = Authority(load, reload_s=3600)
            async with looking(authority):
                while not looks:
                    await asyncio.sleep(0.001)
                for _ in range(200):
                    assert not _knows(authority, "Bearer er_nobodys")
                    await asyncio.sleep(0.001)

        monkeypatch.setattr(auth, "UNKNOWN_S", 3600)
        asyncio.run(asyncio.wait_for(test(), 20))
        assert len(looks) == 1

    def test_it_is_felt_within_10_s(self) -> None:
        assert auth.RELOAD_S <= 5

    def test_the_last_keys_count_while_the_storage_is_gone_and_not_for_ever(
        self, source: Keys, caplog: pytest.LogCaptureFixture
    ) -> None:
        authority, header = source.authority(), f"Bearer {keys.create(source.home, 'alice', now=NOW).text}"
        assert _status(authority, header) == 503  # nothing was read yet
        asyncio.run(authority.refresh())
        source.fails = True
        for source.now in (5.0, 600.0):
            assert not asyncio.run(authority.refresh())
            assert authority.identify(header).name == "alice"
        assert caplog.text.count("the storage is gone") == 1
        source.now = 600.1
        assert _status(authority, header) == _status(authority, "Bearer er_unknown") == 503
        assert _status(authority, None) == 401
        source.fails = False
        assert asyncio.run(authority.refresh())
        assert authority.identify(header).name == "alice"

    def test_a_slow_storage_does_not_hold_up_the_loop(self, source: Keys) -> None:
        async def test() -> None:
            may_end = threading.Event()
            authority = Authority(lambda: KeyRing() if may_end.wait(10) else source.load())
            looking = asyncio.create_task(authority.refresh())
            for _ in range(20):
                await asyncio.sleep(0)
            assert not looking.done()
            may_end.set()
            assert await looking

        asyncio.run(test())


def _knows(authority: Authority, header: str) -> bool:
    try:
        authority.identify(header)
    except Refused:
        return False
    return True


@cache
def _rsa(bits: int = 2048) -> tuple[bytes, bytes]:
    """A private and its public key, in PEM."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=bits)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return private, public


def _claims(**changes: Any) -> dict[str, Any]:
    claims = {"sub": "dave", "exp": int(time.time()) + 3600, "scope": "predict", **changes}
    return {name: value for name, value in claims.items() if value is not None}


def _token(key: bytes, algorithm: str = "HS256", **changes: Any) -> str:
    return jwt.encode(_claims(**changes), key, algorithm=algorithm)


def _forged(header: dict[str, Any], secret: bytes | None) -> str:
    """A token put together by hand, as libraries refuse to."""
    signed = b".".join(_base64(json.dumps(part).encode()) for part in (header, _claims()))
    signature = hmac.new(secret, signed, hashlib.sha256).digest() if secret is not None else b""
    return (signed + b"." + _base64(signature)).decode()


def _base64(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


class TestTokens:
    @pytest.mark.parametrize("algorithm", ["HS256", "RS256"])
    def test_a_token_says_who_calls(self, source: Keys, algorithm: Any) -> None:
        private, public = (SECRET, SECRET) if algorithm == "HS256" else _rsa()
        authority = source.authority(Tokens(algorithm, public))
        caller = authority.identify(f"Bearer {_token(private, algorithm, scope='predict admin')}")
        assert caller == Caller("jwt:dave", frozenset({"predict", "admin"}), None)

    def test_keys_work_beside_tokens(self, source: Keys) -> None:
        made = keys.create(source.home, "alice", now=NOW)
        authority = source.authority(Tokens("HS256", SECRET))
        assert _status(authority, f"Bearer {made.text}") == 503
        assert authority.identify(f"Bearer {_token(SECRET)}").name == "jwt:dave"  # needs no keys
        asyncio.run(authority.refresh())
        assert authority.identify(f"Bearer {made.text}").name == "alice"

    @pytest.mark.parametrize(
        ("changes", "is_known"),
        [
            pytest.param({}, True, id="as-it-must-be"),
            pytest.param({"exp": None}, False, id="never-ends"),
            pytest.param({"exp": int(time.time()) - 60}, False, id="expired"),
            pytest.param({"exp": "soon"}, False, id="exp-is-no-number"),
            pytest.param({"nbf": int(time.time()) + 10**6}, False, id="not-yet"),
            pytest.param({"iss": "other"}, False, id="another-issuer"),
            pytest.param({"iss": None}, False, id="no-issuer"),
            pytest.param({"aud": "other"}, False, id="another-audience"),
            pytest.param({"aud": ["other", "eagleray"]}, True, id="one-of-its-audiences"),
            pytest.param({"aud": None}, False, id="no-audience"),
        ],
    )
    def test_claims(self, source: Keys, changes: dict[str, Any], is_known: bool) -> None:
        authority = source.authority(Tokens("HS256", SECRET, issuer="us", audience="eagleray"))
        token = _token(SECRET, **{"iss": "us", "aud": "eagleray", **changes})
        assert _knows(authority, f"Bearer {token}") is is_known

    def test_a_token_for_somebody_else_is_refused_where_no_audience_is_configured(self, source: Keys) -> None:
        assert not _knows(source.authority(Tokens("HS256", SECRET)), f"Bearer {_token(SECRET, aud='mail')}")

    @pytest.mark.parametrize(
        ("scope", "scopes"),
        [("predict  admin", {"predict", "admin"}), ("", set()), (None, set()), (["admin"], set()), (7, set())],
    )
    def test_scopes(self, scope: Any, scopes: set[str]) -> None:
        caller = Tokens("HS256", SECRET).caller(_token(SECRET, scope=scope))
        assert caller is not None
        assert caller.scopes == scopes

    def test_the_algorithm_is_ours_to_say(self, source: Keys) -> None:
        """The public key is no secret: a token signed with it as if it were one must not pass."""
        private, public = _rsa()
        of_rsa, of_hmac = source.authority(Tokens("RS256", public)), source.authority(Tokens("HS256", SECRET * 2))
        assert _knows(of_rsa, f"Bearer {_token(private, 'RS256')}")
        refused = [
            (of_rsa, _forged({"alg": "HS256", "typ": "JWT"}, public)),
            (of_rsa, _forged({"alg": "HS256", "typ": "JWT"}, public.strip())),
            (of_rsa, _forged({"alg": "none", "typ": "JWT"}, None)),
            (of_rsa, _forged({"alg": "None"}, None)),
            (of_rsa, _forged({}, None)),
            (of_rsa, _token(private, "RS512")),
            (of_rsa, _token(SECRET)),
            (of_rsa, _token(_rsa(2049)[0], "RS256")),
            (of_hmac, _forged({"alg": "none"}, None)),
            (of_hmac, _forged({"alg": "HS256"}, b"")),
            (of_hmac, _token(SECRET * 2, "HS512")),
            (of_hmac, _token(b"t" * 32)),
            (of_hmac, _token(private, "RS256")),
        ]
        assert _knows(of_hmac, f"Bearer {_token(SECRET * 2)}")
        for authority, token in refused:
            assert _status(authority, f"Bearer {token}") == 401, token

    @pytest.mark.parametrize("part", [b"[" * 30_000, b'{"alg":' * 20_000, b"\xff", b"7", b"null"], ids=range(5))
    def test_what_breaks_parsers_is_no_token(self, source: Keys, part: bytes) -> None:
        authority = source.authority(Tokens("HS256", SECRET))
        good = _token(SECRET).encode().split(b".")
        for place in range(3):
            parts = [_base64(part) if place == each else good[each] for each in range(3)]
            assert _status(authority, f"Bearer {b'.'.join(parts).decode()}") == 401

    @pytest.mark.parametrize(
        ("algorithm", "key", "told"),
        [
            pytest.param("HS256", lambda: b"short", "too weak", id="short-secret"),
            pytest.param("HS256", lambda: b"", "is no key", id="no-secret"),
            pytest.param("HS256", lambda: _rsa()[1], "is no key for HS256", id="public-key-as-secret"),
            pytest.param("RS256", lambda: SECRET, "is no key for RS256", id="secret-as-public-key"),
            pytest.param("RS256", lambda: _rsa()[0], "holds a private key", id="private-key"),
            pytest.param("RS256", lambda: _rsa(1024)[1], "too weak", id="short-rsa"),
        ],
    )
    def test_keys_that_are_unfit(self, algorithm: Any, key: Any, told: str) -> None:
        with pytest.raises(UserError, match=told):
            Tokens(algorithm, key())

    def test_key_files(self, tmp_path: Path) -> None:
        file = tmp_path / "secret"
        file.write_bytes(SECRET + b"\n")
        assert Tokens.of_file("HS256", file).caller(_token(SECRET)) is not None
        with pytest.raises(UserError, match="cannot be read"):
            Tokens.of_file("HS256", tmp_path / "none")
