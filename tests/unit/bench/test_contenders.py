from __future__ import annotations

from typing import Any

import pytest

from bench.contenders import Round, take


class Pipe:
    """A contender at the other end: it takes what steps it is told to, two samples each, at its own speed."""

    def __init__(self, name: str, seconds_a_step: float, told: list[tuple[str, int]]) -> None:
        self._name, self._seconds, self._told = name, seconds_a_step, told

    def send(self, steps: Any) -> None:
        self._told.append((self._name, steps))

    def recv(self) -> Round:
        steps = self._told[-1][1]
        return Round(2 * steps, 10 * steps, 6 * steps, wall_s=self._seconds * steps, cpu_s=steps)


def test_a_round_is_many_short_turns() -> None:
    told: list[tuple[str, int]] = []
    pipes: Any = {"ours": Pipe("ours", 0.1, told), "peer": Pipe("peer", 0.2, told)}

    figures = take(pipes, steps=12, rounds=1)

    assert told == [("ours", 5), ("peer", 5), ("ours", 5), ("peer", 5), ("ours", 2), ("peer", 2)]
    assert figures["ours"]["samples_per_s"] == pytest.approx([20.0])
    assert figures["peer"]["samples_per_s"] == pytest.approx([10.0])
    assert figures["ours"]["targets_per_s"] == pytest.approx([60.0])
    assert figures["ours"]["cells_a_sample"] == [5.0]
    assert figures["ours"]["cpu_s_a_thousand"] == [500.0]


def test_a_figure_a_round() -> None:
    pipes: Any = {"ours": Pipe("ours", 0.1, [])}

    assert len(take(pipes, steps=5, rounds=3)["ours"]["samples_per_s"]) == 3
