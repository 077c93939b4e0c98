"""A key's rate holds over all replicas, whatever they do; and a caller who keeps to it is not refused."""

from __future__ import annotations

import asyncio
import itertools
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eagleray.serving import limits
from eagleray.serving.auth import Caller
from eagleray.serving.limits import LEASE_S, Allowance, Ledger


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


def _caller(rate: float | None, name: str = "alice") -> Caller:
    return Caller(name, frozenset({"predict"}), rate)


@dataclass
class World:
    """Replicas around one ledger, in a time of their own. An answer takes `delay_s`, half of it each way."""

    num_replicas: int
    rate: float
    clock: Clock = field(default_factory=Clock)
    delay_s: float = 0.0
    is_up: bool = True
    asked: list[int] = field(default_factory=list)
    admitted_at: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.ledger = Ledger(self.clock)
        self.replicas = [
            # No real time passes here: a delay is one of this clock, and ends by itself.
            Allowance(self._lease, max_replicas=self.num_replicas, clock=self.clock, timeout_s=60)
            for _ in range(self.num_replicas)
        ]

    async def _lease(self, name: str, rate: float, wanted: int) -> int:
        self.asked.append(wanted)
        half_s = self.delay_s / 2
        await self._pass(half_s)
        if not self.is_up:
            raise ConnectionError("gone")
        granted = self.ledger.take(name, rate, wanted)
        await self._pass(half_s)
        return granted

    async def _pass(self, seconds: float) -> None:
        until = self.clock.now + seconds
        while self.clock.now < until:
            await asyncio.sleep(0)

    async def _ask(self, replica: int) -> None:
        retry_after_s = await self.replicas[replica].admit(_caller(self.rate))
        if retry_after_s is None:
            self.admitted_at.append(self.clock.now)
        else:
            self.refused.append(retry_after_s)

    def ask(self, replica: int, count: int = 1) -> None:
        for _ in range(count):
            task = asyncio.create_task(self._ask(replica % self.num_replicas))
            self.tasks.add(task)

    async def advance(self, seconds: float) -> None:
        await self.settle()
        self.clock.now += seconds
        await self.settle()

    async def settle(self) -> None:
        for _ in range(12):
            await asyncio.sleep(0)

    async def end(self) -> None:
        while not all(task.done() for task in self.tasks):
            await self.advance(0.5)
        await asyncio.gather(*self.tasks)

    def excess(self, most: float, per_s: float) -> float:
        """How many more than `most` + `per_s` x window were admitted, in the window where it is worst."""
        # Over i <= j the most of (j - i + 1) - per_s * (t_j - t_i): what j adds, and the best of all i before it.
        worst, best_start = -math.inf, -math.inf
        for count, at in enumerate(self.admitted_at):
            best_start = max(best_start, per_s * at - count)
            worst = max(worst, count + 1 - per_s * at + best_start)
        return worst - most


Step = tuple[str, float, int, int]
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("ask"), st.just(0.0), st.integers(0, 4), st.integers(1, 25)),
        st.tuples(st.just("advance"), st.sampled_from([0.01, 0.1, 0.26, 0.9, 1.9, 2.0, 5.0]), st.just(0), st.just(0)),
        st.tuples(st.just("delay"), st.sampled_from([0.0, 0.02, 0.4, 1.0, 1.99, 3.0]), st.just(0), st.just(0)),
    ),
    max_size=40,
)
TOGGLES = st.tuples(st.just("up"), st.sampled_from([0.0, 1.0]), st.just(0), st.just(0))
RATES = st.sampled_from([1.0, 6.0, 20.0, 60.0, 600.0])


async def _live(world: World, steps: list[Step]) -> None:
    for step, seconds, replica, count in steps:
        match step:
            case "ask":
                world.ask(replica, count)
            case "advance":
                await world.advance(seconds)
            case "delay":
                world.delay_s = seconds
            case "up":
                world.is_up = bool(seconds)
    await world.end()


@settings(max_examples=100, deadline=None)
@given(num_replicas=st.integers(1, 5), rate=RATES, steps=STEPS)
def test_the_rate_holds_in_any_window(num_replicas: int, rate: float, steps: list[Step]) -> None:
    async def live() -> World:
        world = World(num_replicas, rate)
        await _live(world, steps)
        return world

    assert asyncio.run(live()).excess(limits.burst(rate), rate / 60) <= 1e-6


@settings(max_examples=60, deadline=None)
@given(
    num_replicas=st.integers(1, 5), rate=RATES, steps=st.lists(st.one_of(STEPS, TOGGLES.map(lambda t: [t])), max_size=5)
)
def test_at_most_twice_while_the_coordinator_comes_and_goes(
    num_replicas: int, rate: float, steps: list[list[Step]]
) -> None:
    async def live() -> World:
        world = World(num_replicas, rate)
        await _live(world, list(itertools.chain.from_iterable(steps)))
        return world

    most = limits.burst(rate) + max(num_replicas, limits.burst(rate))
    assert asyncio.run(live()).excess(most, 2 * rate / 60) <= 1e-6


def _run(test: Callable[[], Awaitable[None]]) -> None:
    async def run() -> None:
        await test()

    asyncio.run(run())


@pytest.mark.parametrize("share", [0.3, 0.9], ids=["a-third", "nearly-all"])
@pytest.mark.parametrize("num_replicas", [1, 4])
@pytest.mark.parametrize("rate", [60.0, 600.0, 6000.0])
def test_who_keeps_to_the_rate_is_not_refused(share: float, num_replicas: int, rate: float) -> None:
    async def test() -> None:
        world = World(num_replicas, rate)
        for turn in range(200):
            world.ask(turn)
            await world.advance(60 / rate / share)
        await world.end()
        assert world.refused == []

    _run(test)


def test_who_asks_for_more_gets_the_rate_all_the_same() -> None:
    async def test() -> None:
        world = World(4, 600)
        for turn in range(1000):  # 50 a second for 20 s, 10 are allowed
            world.ask(turn)
            await world.advance(0.02)
        await world.end()
        assert 200 <= len(world.admitted_at) <= 200 + limits.burst(600)
        assert len(world.asked) < 20 * 4 * 6  # at most some 4 questions a second and replica, instead of 12

    _run(test)


def test_a_busy_key_asks_seldom() -> None:
    async def test() -> None:
        world = World(1, 60_000)
        for _ in range(500):
            world.ask(0)
            await world.advance(0.01)
        await world.end()
        assert world.refused == []
        assert len(world.asked) < 5 * 8

    _run(test)


def test_callers_that_wait_share_one_question() -> None:
    async def test() -> None:
        world = World(1, 600, delay_s=0.1)
        world.ask(0, 1)
        await world.settle()
        world.ask(0, 20)
        await world.end()
        assert world.asked == [1, 20]
        assert len(world.admitted_at) == 21

    _run(test)


def test_who_waits_for_a_lease_may_be_cancelled() -> None:
    async def test() -> None:
        world = World(1, 600, delay_s=0.1)
        world.ask(0, 2)
        await world.settle()
        first = next(iter(world.tasks))
        first.cancel()
        world.tasks.remove(first)
        await world.end()
        assert (len(world.admitted_at), len(world.asked)) == (1, 1)

    _run(test)


def test_refusals_are_told_when_to_come_back() -> None:
    async def test() -> None:
        world = World(1, 20)
        world.ask(0, 3)
        await world.end()
        assert (len(world.admitted_at), world.refused) == (1, [3.0, 3.0])
        await world.advance(3.0)
        world.ask(0)
        await world.end()
        assert len(world.admitted_at) == 2

    _run(test)


def test_tokens_that_are_not_used_end() -> None:
    async def test() -> None:
        world = World(1, 6000)
        world.ask(0, 100)
        await world.advance(0.2)
        world.ask(0)
        await world.end()
        assert world.asked == [100, 26]
        await world.advance(LEASE_S)
        world.ask(0)
        await world.end()
        assert len(world.asked) == 3

    _run(test)


def test_many_replicas_cannot_save_up() -> None:
    """Each leases two tokens ahead; kept for ever they would be 40, beside the 30 of a full bucket."""

    async def test() -> None:
        world = World(20, 600)
        for replica in range(20):
            world.ask(replica, 2)
            await world.settle()
            world.ask(replica)
            await world.advance(0.5)
        assert world.refused == []
        await world.advance(60)
        for replica in range(20):
            world.ask(replica, 10)
        await world.end()
        assert len(world.admitted_at) == 60 + 30
        assert world.excess(limits.burst(600), 10) <= 1e-6

    _run(test)


def test_without_a_rate_nobody_is_asked() -> None:
    async def lease(name: str, rate: float, wanted: int) -> int:
        raise AssertionError

    assert asyncio.run(Allowance(lease, max_replicas=1).admit(_caller(None))) is None


def test_keys_have_buckets_of_their_own() -> None:
    ledger = Ledger(Clock())
    assert [ledger.take(name, 60, 5) for name in ("alice", "bob", "alice")] == [3, 3, 0]


@pytest.mark.parametrize(
    ("rate", "wanted", "after_s", "granted"),
    [
        pytest.param(600, 100, 0, 30, id="a-full-bucket-is-3-s"),
        pytest.param(1, 100, 0, 1, id="one-at-least"),
        pytest.param(600, 0, 0, 0, id="none-wanted"),
        pytest.param(600, -5, 0, 0, id="fewer-than-none"),
        pytest.param(600, 100, 3600, 30, id="no-more-than-full"),
    ],
)
def test_ledger(rate: float, wanted: int, after_s: float, granted: int) -> None:
    clock = Clock()
    ledger = Ledger(clock)
    ledger.take("a", rate, 0)
    clock.now = after_s
    assert ledger.take("a", rate, wanted) == granted


def test_a_lower_rate_counts_at_once() -> None:
    ledger = Ledger(Clock())
    assert ledger.take("a", 6000, 1) == 1
    assert ledger.take("a", 60, 100) == 3


class TestNoCoordinator:
    def test_each_replica_goes_on_with_its_share(self, caplog: pytest.LogCaptureFixture) -> None:
        async def test() -> None:
            world = World(2, 600, is_up=False)
            world.ask(0, 100)
            world.ask(1, 10)
            await world.settle()
            assert world.asked == [100, 10]
            assert len(world.admitted_at) == 15 + 10  # half of the bucket each
            assert set(world.refused) == {60 / 300}
            await world.advance(0.8)
            world.ask(0, 100)
            await world.settle()
            assert len(world.admitted_at) == 25 + 4  # half of the rate
            assert len(world.asked) == 2

        _run(test)
        assert caplog.text.count("does not answer") == 2  # once a replica

    def test_it_is_asked_again_without_anybody_waiting_for_it(self) -> None:
        async def test() -> None:
            world = World(1, 600, is_up=False)
            world.ask(0)
            await world.settle()
            world.is_up, world.delay_s = True, 0.2
            await world.advance(1.0)
            world.ask(0)
            await world.settle()
            assert (len(world.asked), len(world.admitted_at)) == (2, 2)  # it is asked, and has not answered yet
            await world.advance(0.1)
            await world.advance(0.1)
            world.ask(0, 8)
            await world.settle()
            assert (len(world.asked), len(world.admitted_at)) == (3, 2)  # now it is waited for
            await world.end()
            assert len(world.admitted_at) == 10

        _run(test)

    def test_an_answer_that_takes_too_long_is_not_waited_for(self) -> None:
        async def never(name: str, rate: float, wanted: int) -> int:
            await asyncio.Event().wait()
            return wanted

        async def admit() -> list[float | None]:
            allowance = Allowance(never, max_replicas=2, timeout_s=0.01)
            return [await allowance.admit(_caller(60)) for _ in range(2)]

        assert asyncio.run(admit()) == [None, 2.0]
