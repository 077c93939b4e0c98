"""Who calls, and may they? A caller shows an API key or, where that is configured, a JSON Web Token.

The keys are read again every few seconds beside the requests, never within one: a key that is revoked is refused
within 10 s. One that nobody knows has them read sooner, once a second at most: it may be new. While the storage does
not answer, the keys read last go on to count, for at most 10 minutes: an outage of the storage must not be one of the
endpoint, nor may a revoked key work for ever. After that keys get 503, not 401, so that nobody throws a good one away.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import jwt

from eagleray.errors import UserError
from eagleray.serving import problems
from eagleray.serving.problems import Problem, ProblemError
from eagleray.spec.endpoint import AuthSpec
from eagleray.store import keys
from eagleray.store.key_homes import FileKeys, StoredKeys
from eagleray.store.keys import KeyRing
from eagleray.store.objects import Objects

RELOAD_S = 5.0
UNKNOWN_S = 1.0
"""The least between two looks, however many unknown keys are shown."""
MAX_STALE_S = 600.0
_LEEWAY_S = 5.0  # between the clock of who signs and ours
_MAX_SUBJECT = 128

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sent a request."""

    name: str  # of the key; "jwt:" and the subject of a token
    scopes: frozenset[str]
    requests_per_minute: float | None = None


class Refused(ProblemError):
    """The caller is unknown (401), may not (403), or cannot be recognized now (503)."""

    def __init__(self, problem: Problem) -> None:
        self.status = problem.status
        super().__init__(problem)


def require(caller: Caller, scope: str) -> None:
    """Raise Refused where the caller lacks the scope. No scope includes another."""
    if scope not in caller.scopes:
        raise Refused(problems.forbidden(scope))


class NoAuth:
    """Everybody may do everything: for an endpoint that only this machine reaches."""

    def identify(self, authorization: str | None) -> Caller:
        """The same caller always."""
        return Caller("anonymous", frozenset({"predict", "admin"}))

    async def keep_fresh(self) -> None:
        """There is nothing to read."""


class Tokens:
    """What makes a JSON Web Token (RFC 7519) one of ours. The token itself has no say in it."""

    def __init__(
        self,
        algorithm: Literal["HS256", "RS256"],
        key: bytes,
        *,
        issuer: str | None = None,
        audience: str | None = None,
    ) -> None:
        """Take the shared secret (HS256) or the public key in PEM (RS256). Raises UserError for one that is unfit."""
        self._algorithm = algorithm
        self._key = _prepared(algorithm, key)
        self._issuer, self._audience = issuer, audience

    @classmethod
    def of_file(
        cls,
        algorithm: Literal["HS256", "RS256"],
        key_file: Path,
        *,
        issuer: str | None = None,
        audience: str | None = None,
    ) -> Tokens:
        """Read the key from a file; line ends after a secret do not count. Raises UserError."""
        try:
            key = key_file.read_bytes().rstrip(b"\r\n")
        except OSError as error:
            raise UserError(f"auth.key_file {key_file} cannot be read: {error.strerror}") from error
        return cls(algorithm, key, issuer=issuer, audience=audience)

    def caller(self, token: str) -> Caller | None:
        """Who the token says calls; None where it is not ours, altered, expired, or meant for somebody else.

        A token with an audience is refused where none is configured: it was made for another service (RFC 7519, 4.1.3).
        """
        try:
            claims = jwt.decode(
                token,
                self._key,
                algorithms=[self._algorithm],
                issuer=self._issuer,
                audience=self._audience,
                leeway=_LEEWAY_S,
                options={"require": ["exp"]},
            )
        except (jwt.PyJWTError, ValueError, OverflowError, RecursionError):  # the last two: JSON made to break parsers
            return None
        return Caller(f"jwt:{claims.get('sub', '')[:_MAX_SUBJECT]}", _scopes(claims))


class Authority:
    """Knows the callers by their keys or tokens."""

    def __init__(
        self,
        load: Callable[[], KeyRing],
        *,
        tokens: Tokens | None = None,
        reload_s: float = RELOAD_S,
        max_stale_s: float = MAX_STALE_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`load` reads the keys; it may block, and is called in a thread of its own."""
        self._load, self._tokens = load, tokens
        self._reload_s, self._max_stale_s, self._clock = reload_s, max_stale_s, clock
        self._ring: KeyRing | None = None
        self._read_at = 0.0
        self._trouble = ""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._unknown = asyncio.Event()
        # Not the loop's own threads: a model may keep all of them busy.
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="keys")

    def identify(self, authorization: str | None) -> Caller:
        """The caller who sent this header. Raises Refused, the same for every reason why there is none."""
        presented = _bearer(authorization)
        if not presented:
            raise Refused(problems.unauthorized())
        caller = self._of_token(presented) or self._of_key(presented)
        if caller is None:
            raise Refused(problems.unauthorized())
        return caller

    async def refresh(self) -> bool:
        """Read the keys once; False where they cannot be read, which the log says when it begins and when it ends."""
        asked_at = self._clock()
        try:
            ring = await asyncio.get_running_loop().run_in_executor(self._thread, self._load)
        except Exception as error:  # whatever it is, the loop must go on: it may be mended by the next time
            self._tell(f"the API keys cannot be read, those read last count: {error}")
            return False
        self._ring, self._read_at = ring, asked_at
        self._tell("")
        return True

    async def keep_fresh(self) -> None:
        """Read the keys again and again, until cancelled."""
        try:
            self._loop = asyncio.get_running_loop()
            while True:
                self._unknown.clear()
                await self.refresh()
                least_s = min(UNKNOWN_S, self._reload_s)
                await asyncio.sleep(least_s)
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._unknown.wait(), self._reload_s - least_s)
        finally:
            self._thread.shutdown(wait=False, cancel_futures=True)

    def _of_token(self, presented: str) -> Caller | None:
        if self._tokens is None or presented.startswith(keys.PREFIX):
            return None
        return self._tokens.caller(presented)

    def _of_key(self, presented: str) -> Caller | None:
        if self._tokens is not None and not presented.startswith(keys.PREFIX):
            return None
        record = self._ring.find(presented) if self._ring is not None else None
        if record is None and self._loop is not None:
            self._loop.call_soon_threadsafe(self._unknown.set)
        if self._ring is None or self._clock() - self._read_at > self._max_stale_s:
            raise Refused(problems.unavailable("API keys cannot be checked now", self._reload_s))
        return Caller(record.name, frozenset(record.scopes), record.requests_per_minute) if record else None

    def _tell(self, trouble: str) -> None:
        if trouble and trouble != self._trouble:
            _log.warning(trouble)
        elif self._trouble and not trouble:
            _log.info("the API keys can be read again")
        self._trouble = trouble


def _bearer(authorization: str | None) -> str:
    scheme, _, presented = (authorization or "").partition(" ")
    return presented.strip() if scheme.lower() == "bearer" else ""


def _scopes(claims: dict[str, Any]) -> frozenset[str]:
    scope = claims.get("scope")
    return frozenset(scope.split()) if isinstance(scope, str) else frozenset()


def _prepared(algorithm: str, key: bytes) -> Any:
    """Once, and not at each token. Refuses a public key as the secret of HS256: anybody could sign with it."""
    known = jwt.get_algorithm_by_name(algorithm)
    try:
        prepared = known.prepare_key(key)
    except (jwt.InvalidKeyError, TypeError, ValueError) as error:
        raise UserError(f"auth.key_file is no key for {algorithm}: {error}") from error
    if hasattr(prepared, "private_numbers"):
        raise UserError(f"auth.key_file holds a private key: {algorithm} needs the public one, in PEM")
    weakness = known.check_key_length(prepared)
    if weakness:
        raise UserError(f"auth.key_file is too weak: {weakness}")
    return prepared


def authority(spec: AuthSpec, objects: Objects) -> Authority | NoAuth:
    """Who knows the callers. Raises UserError where its files are not as they must be."""
    match spec.type:
        case "none":
            return NoAuth()
        case "keys":
            home = StoredKeys(objects) if spec.file is None else FileKeys(Path(spec.file))
            return Authority(partial(keys.load, home))
    tokens = Tokens.of_file(spec.algorithm, Path(spec.key_file), issuer=spec.issuer, audience=spec.audience)
    return Authority(partial(keys.load, StoredKeys(objects)), tokens=tokens)
