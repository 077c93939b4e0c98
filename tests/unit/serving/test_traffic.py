"""What happened is told once."""

from __future__ import annotations

import pytest

from eagleray.serving.rollout import Traffic
from eagleray.serving.traffic import TrafficLog


def test_counts_are_by_name_and_version_and_handed_over_once() -> None:
    log = TrafficLog()
    log.answered("a", 1, seconds=0.5)
    log.answered("a", 1, seconds=0.25)
    log.failed("a", 1)
    log.failed("a", 2)
    log.compared("a", 2, is_different=True)
    log.compared("a", 2, is_different=False)
    log.answered("b", 1, seconds=1.0)

    assert log.drain() == {
        ("a", 1): Traffic(3, 1, (0.5, 0.25)),
        ("a", 2): Traffic(1, 1, (), num_compared=2, num_different=1),
        ("b", 1): Traffic(1, 0, (1.0,)),
    }
    assert log.drain() == {}
    log.failed("a", 1)
    assert log.drain() == {("a", 1): Traffic(1, 1)}


def test_what_nobody_heard_is_told_again() -> None:
    log = TrafficLog()
    log.answered("a", 1, seconds=0.5)
    log.put_back(log.drain())
    log.failed("a", 1)

    assert log.drain() == {("a", 1): Traffic(2, 1, (0.5,))}
    assert log.drain() == {}


def test_latencies_are_bounded_and_requests_are_not() -> None:
    log = TrafficLog()
    for _ in range(2000):
        log.answered("a", 1, seconds=0.5)

    (traffic,) = log.drain().values()
    assert (traffic.num_requests, len(traffic.latencies_s)) == (2000, 500)


@pytest.mark.parametrize(
    ("one", "other", "total"),
    [
        pytest.param(Traffic(), Traffic(), Traffic(), id="nothing"),
        pytest.param(
            Traffic(3, 1, (0.1,), 5, 2), Traffic(4, 2, (0.2,), 6, 3), Traffic(7, 3, (0.1, 0.2), 11, 5), id="sum"
        ),
    ],
)
def test_sum(one: Traffic, other: Traffic, total: Traffic) -> None:
    assert one + other == total


def test_a_sum_keeps_the_newest_latencies() -> None:
    total = Traffic(1500, 0, (1.0,) * 1500) + Traffic(1000, 0, (2.0,) * 1000)

    assert total.num_requests == 2500
    assert total.latencies_s == (1.0,) * 1000 + (2.0,) * 1000
