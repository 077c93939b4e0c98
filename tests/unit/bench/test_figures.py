from __future__ import annotations

import pytest

from bench.figures import Demand, Found, find, is_met, is_settled, slope

FIGURES = {
    "ours": {"speed": [10.0, 12.0, 11.0], "points": [80.0]},
    "peer": {"speed": [5.0, 6.0, 11.0], "points": [80.4], "once": [2.0]},
    "broken": {"speed": [5.0, 0.0, 11.0], "points": [0.0]},
}


@pytest.mark.parametrize(
    ("over", "under", "options", "found"),
    [
        pytest.param("ours.speed", "peer.speed", {}, Found(11 / 6, 1.0, 2.0), id="medians, and the rounds' range"),
        pytest.param("ours.speed", "peer.once", {}, Found(5.5, 5.0, 6.0), id="measured once for all rounds"),
        pytest.param("ours.speed", "", {}, Found(11.0, 10.0, 12.0), id="itself"),
        pytest.param("ours.speed", "other.speed", {}, None, id="who did not take part"),
        pytest.param("other.speed", "", {}, None, id="nobody"),
        pytest.param("ours.speed", "broken.speed", {}, None, id="a peer that answers nothing in a round is none"),
        pytest.param(
            "ours.points",
            "broken.points",
            {"is_difference": True},
            Found(80.0, 80.0, 80.0),
            id="nothing is a number to subtract",
        ),
    ],
)
def test_find(over: str, under: str, options: dict[str, bool], found: Found | None) -> None:
    assert find(Demand("peer", over, under, **options), FIGURES) == found


def test_a_difference() -> None:
    found = find(Demand("peer", "ours.points", "peer.points", is_difference=True), FIGURES)

    assert found is not None
    assert found.value == pytest.approx(-0.4)


@pytest.mark.parametrize(
    ("bounds", "value", "met"),
    [
        pytest.param({"at_least": 1.6}, 1.6, True, id="as much as demanded"),
        pytest.param({"at_least": 1.6}, 1.59, False, id="less"),
        pytest.param({"at_most": 0.8}, 0.8, True, id="no more than demanded"),
        pytest.param({"at_most": 0.8}, 0.81, False, id="more"),
        pytest.param({}, 99.0, True, id="told only"),
    ],
)
def test_is_met(bounds: dict[str, float], value: float, met: bool) -> None:
    assert is_met(Demand("peer", "a.b", **bounds), Found(value, value, value)) is met


@pytest.mark.parametrize(
    ("low", "high", "settled"),
    [
        pytest.param(0.95, 1.1, False, id="rounds that differ by little, and in their verdict"),
        pytest.param(0.3, 1.1, False, id="rounds of a machine that does other work"),
        pytest.param(1.1, 3.0, True, id="all of them reach it"),
        pytest.param(0.2, 0.9, True, id="none of them does"),
        pytest.param(-0.4, 1.2, False, id="a difference around none"),
        pytest.param(-0.4, 0.9, True, id="a difference that none of them reaches"),
        pytest.param(1.0, 1.0, True, id="one round"),
    ],
)
def test_is_settled(low: float, high: float, settled: bool) -> None:
    assert is_settled(Demand("peer", "a.b", at_least=1.0), Found(1.0, low, high)) is settled


@pytest.mark.parametrize(
    ("costs", "power"),
    [
        pytest.param([3.0, 3.0, 3.0], 0.0, id="not at all"),
        pytest.param([1.0, 10.0, 100.0], 1.0, id="linear"),
        pytest.param([1.0, 1.0, 100.0], 2.0, id="a bend at the end is not hidden"),
    ],
)
def test_slope(costs: list[float], power: float) -> None:
    assert slope([1, 10, 100], costs) == pytest.approx(power)
