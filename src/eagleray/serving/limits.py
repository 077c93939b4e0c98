"""May this key ask once more? A rate that holds over all replicas, at the cost of a question to one place now and then.

The `Ledger`, in the coordinator, has a bucket of tokens for each key. The `Allowance`, in each replica, leases tokens
from it: as many as callers wait, and for a busy key those of the next quarter of a second. A leased token is gone after
LEASE_S, used or not. So whatever the replicas do, within any time of W seconds a key with the rate r a second is
admitted at most `burst(rate)` + r x W times: the bucket, what it gains in W, and what was leased in the LEASE_S before.

Where the coordinator does not answer, each replica goes on with its share of the rate, and with one request at once at
least. While only some replicas reach it, a key may so get up to twice its rate; and one more burst each time the
coordinator is started anew.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from eagleray.serving.auth import Caller

LEASE_S = 2.0
TIMEOUT_S = 0.5
_BUCKET_S = 3.0  # a key that was quiet may ask at once for what it has in so many seconds
_AHEAD_S = 0.25  # leased ahead; much less than LEASE_S, or tokens of a steady caller would end unused
_PAUSE_S = 0.25  # after a refusal the ledger is left in peace, whatever the caller sends
_PROBE_S = 1.0  # how often a coordinator that did not answer is asked again

Clock = Callable[[], float]
Lease = Callable[[str, float, int], Awaitable[int]]  # name, requests a minute, tokens wanted -> tokens granted

_log = logging.getLogger(__name__)


def burst(rate: float) -> float:
    """The most requests of a key at once; `rate` is its requests a minute."""
    return _capacity(rate) + rate / 60 * LEASE_S


@dataclass(slots=True)
class Bucket:
    """Tokens that become more steadily, up to a capacity."""

    level: float
    at: float

    def take(self, wanted: int, *, rate: float, capacity: float, now: float) -> int:
        """Take as many whole tokens as there are, `wanted` at most."""
        gained = max(0.0, now - self.at) * rate / 60
        self.level = min(capacity, self.level + gained)
        self.at = max(self.at, now)
        granted = max(0, min(wanted, int(self.level)))
        self.level -= granted
        return granted


class Ledger:
    """The tokens of all keys. There is one for all replicas."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._buckets: dict[str, Bucket] = {}

    def take(self, name: str, rate: float, wanted: int) -> int:
        """Lease tokens of the key's name: at most `wanted`, 0 where it has used up its rate (requests a minute)."""
        return _take(self._buckets, name, wanted, rate=rate, capacity=_capacity(rate), now=self._clock())


class Allowance:
    """Admits requests to one replica."""

    def __init__(
        self, lease: Lease, *, max_replicas: int, clock: Clock = time.monotonic, timeout_s: float = TIMEOUT_S
    ) -> None:
        """`lease` asks the coordinator's Ledger; it may fail and it may take long."""
        self._lease, self._max_replicas = lease, max_replicas
        self._clock, self._timeout_s = clock, timeout_s
        self._held: dict[str, _Held] = {}
        self._own: dict[str, Bucket] = {}  # used while the coordinator does not answer
        self._probe_at: float | None = None  # None: it answers

    async def admit(self, caller: Caller) -> float | None:
        """None where the caller may go on, else in how many seconds to try again."""
        rate = caller.requests_per_minute
        if rate is None:
            return None
        held = self._held.setdefault(caller.name, _Held())
        held.num_waiting += 1
        try:
            return await self._admit(caller.name, rate, held)
        finally:
            held.num_waiting -= 1

    async def _admit(self, name: str, rate: float, held: _Held) -> float | None:
        while True:
            now = self._clock()
            if held.use(now):
                return None
            if self._probe_at is not None:
                return self._admit_alone(name, rate, held, self._probe_at)
            if now < held.paused_until:
                return max(60 / rate, held.paused_until - now)
            # Shielded: who waits may be cancelled, and the others wait for the same lease.
            await asyncio.shield(self._leased(name, rate, held))

    def _admit_alone(self, name: str, rate: float, held: _Held, probe_at: float) -> float | None:
        now = self._clock()
        if now >= probe_at:
            self._probe_at = now + _PROBE_S
            self._leased(name, rate, held)  # nobody waits for it: it may take all of `timeout_s`
        share = rate / self._max_replicas
        capacity = max(1.0, _capacity(rate) / self._max_replicas)
        return None if _take(self._own, name, 1, rate=share, capacity=capacity, now=now) else 60 / share

    def _leased(self, name: str, rate: float, held: _Held) -> asyncio.Task[None]:
        """The lease of this key that is under way, begun where there is none."""
        if held.lease is None or held.lease.done():
            held.lease = asyncio.get_running_loop().create_task(self._ask(name, rate, held))
        return held.lease

    async def _ask(self, name: str, rate: float, held: _Held) -> None:
        asked_at = self._clock()
        wanted = held.num_waiting + held.ahead(rate, asked_at)
        try:
            async with asyncio.timeout(self._timeout_s):
                granted = await self._lease(name, rate, wanted)
        except Exception as error:  # the coordinator's, or those of the way to it
            if self._probe_at is None:
                _log.warning("rate limits: the coordinator does not answer, each replica limits alone: %r", error)
            self._probe_at = self._clock() + _PROBE_S
            return
        self._probe_at = None
        # From when it was asked: the ledger granted later, so no token outlives its lease on the ledger's clock.
        held.add(granted, asked_at=asked_at)
        if granted < wanted or self._clock() >= asked_at + LEASE_S:  # this process stood still: they are gone already
            held.paused_until = self._clock() + _PAUSE_S


@dataclass(slots=True)
class _Held:
    """What a replica holds of one key."""

    num_tokens: int = 0
    asked_at: float = float("-inf")
    num_used: int = 0  # since asked_at
    num_waiting: int = 0
    paused_until: float = float("-inf")
    lease: asyncio.Task[None] | None = field(default=None, repr=False)

    def use(self, now: float) -> bool:
        if self.num_tokens == 0 or now >= self.asked_at + LEASE_S:
            return False
        self.num_tokens -= 1
        self.num_used += 1
        return True

    def ahead(self, rate: float, now: float) -> int:
        """How many to lease beside those that are waited for: what was used lately in _AHEAD_S, within the rate."""
        elapsed_s = max(now - self.asked_at, _AHEAD_S)
        return int(min(self.num_used / elapsed_s, rate / 60) * _AHEAD_S)

    def add(self, granted: int, *, asked_at: float) -> None:
        # What is left of the lease before is let go: it is asked for anew only when nothing is left, or it is too old.
        self.num_tokens, self.num_used, self.asked_at = granted, 0, asked_at


def _capacity(rate: float) -> float:
    return max(1.0, rate / 60 * _BUCKET_S)


def _take(buckets: dict[str, Bucket], name: str, wanted: int, *, rate: float, capacity: float, now: float) -> int:
    bucket = buckets.setdefault(name, Bucket(capacity, now))
    return bucket.take(wanted, rate=rate, capacity=capacity, now=now)
