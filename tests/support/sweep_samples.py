"""Sweeps as they come out, without a sweep: sixteen ASHA trials, a trial of any shape, one changed by PBT."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from typing import Any

from eagleray.store.sweeps import Change, Life, Report, State, Sweep, Trial

TOTAL_STEPS = 270

_ENDS: dict[int, tuple[State, str]] = {
    5: ("unfit", "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.50 GiB <GPU 0>"),
    11: ("failed", "process 3231 on 192.0.2.2 was killed or crashed, for the third time"),
}


def trial(
    number: int,
    values: Sequence[float | None] = (),
    *,
    params: Mapping[str, Any] | None = None,
    state: State = "finished",
    metric: str = "f1_macro",
    changes: Sequence[Change] = (),
    error: str = "",
) -> Trial:
    """A trial that was evaluated every ten steps, two seconds a step; None: that evaluation has not the metric."""
    reports = tuple(
        Report(10 * count, metrics={} if value is None else {metric: value}, seconds=20.0 * count)
        for count, value in enumerate(values, start=1)
    )
    life = Life(f"trial-{number}-0001", first_step=0, step=10 * len(reports), seconds=20.0 * len(reports))
    return Trial(
        number,
        params={"train.learning_rate": 1e-4} if params is None else params,
        state=state,
        reports=reports,
        lives=(life,) if reports else (),
        changes=tuple(changes),
        error=error,
    )


def asha(*, num_trials: int = 16, seed: int = 0) -> Sweep:
    """Rates, methods and, of adapters, ranks; two in three are pruned at each rung, two end in an error."""
    draw = random.Random(seed)
    trials = [_drawn(number, draw) for number in range(num_trials)]
    for rung in (30, 90):
        going = [each for each in trials if each.state == "finished"]
        going.sort(key=lambda each: -_until(each, rung))
        stopped = {each.number for each in going[math.ceil(len(going) / 3) :]}
        trials = [_pruned(each, rung) if each.number in stopped else each for each in trials]
    return Sweep(
        trials=tuple(trials),
        total_steps=TOTAL_STEPS,
        num_devices=1.0,
        device="GPU",
        seconds=1834.0,
        end_reason="the budget of 16 trials is used up",
    )


def pbt(*, seed: int = 0) -> Sweep:
    """Four trials, of which the two worst go on with the best one's weights and other rates."""
    draw = random.Random(seed)
    trials = []
    for number in range(4):
        curve = [_learned(step, 1e-3 / 2**number, draw) for step in range(10, 121, 10)]
        change = Change(60, params={"train.learning_rate": 1.2e-3 / 2**number}, donor=0)
        params = {"train.learning_rate": 1e-3 / 2**number}
        trials.append(trial(number, curve, params=params, changes=[change] if number > 1 else []))
    return Sweep(tuple(trials), total_steps=120, seconds=700.0, end_reason="all trials have ended")


def two_objectives(*, num_trials: int = 12, seed: int = 0) -> Sweep:
    """The larger the rank, the better and the slower."""
    draw = random.Random(seed)
    trials = []
    for number in range(num_trials):
        rank = draw.choice([2, 4, 8, 16, 32])
        metrics = {"f1_macro": 0.7 + 0.05 * math.log2(rank) + draw.gauss(0, 0.02), "latency_ms": 2 + rank / 4}
        report = Report(100, metrics=metrics, seconds=200.0)
        life = Life(f"trial-{number}-0001", first_step=0, step=100, seconds=200.0)
        trials.append(Trial(number, params={"method.rank": rank}, state="finished", reports=(report,), lives=(life,)))
    return Sweep(tuple(trials), total_steps=100, seconds=2400.0, end_reason="the budget of 12 trials is used up")


def _drawn(number: int, draw: random.Random) -> Trial:
    rate = 10 ** draw.uniform(-5, -2.6)
    method = draw.choice(["lora", "lora", "full"])
    params: dict[str, Any] = {"train.learning_rate": rate, "method.type": method}
    if method == "lora":
        params["method.rank"] = draw.choice([4, 8, 16, 32])
    params["train.weight_decay"] = round(draw.uniform(0, 0.1), 4)
    s_per_step = 0.9 if method == "lora" else 1.6
    gain = 0.012 * math.log2(params.get("method.rank", 8))
    last_step = {5: 20, 11: 0}.get(number, TOTAL_STEPS)
    reports = tuple(
        Report(step, metrics={"f1_macro": _learned(step, rate, draw) + gain}, seconds=s_per_step * step)
        for step in range(10, last_step + 1, 10)
    )
    life = Life(f"trial-{number}-0001", first_step=0, step=last_step, seconds=s_per_step * last_step)
    state, error = _ENDS.get(number, ("finished", ""))
    return Trial(number, params=params, state=state, reports=reports, lives=(life,), error=error)


def _learned(step: int, rate: float, draw: random.Random) -> float:
    """A learning curve: higher and faster the nearer the rate is to 3e-4."""
    off = abs(math.log10(rate / 3e-4))
    top = 0.88 - 0.16 * off**1.5
    return top - (top - 0.35) * math.exp(-step / (35 + 45 * off)) + draw.gauss(0, 0.006)


def _until(trial: Trial, step: int) -> float:
    return max(report.metrics["f1_macro"] for report in trial.reports if report.step <= step)


def _pruned(trial: Trial, step: int) -> Trial:
    reports = tuple(report for report in trial.reports if report.step <= step)
    life = Life(trial.run, first_step=0, step=step, seconds=reports[-1].seconds)
    return Trial(trial.number, params=trial.params, state="pruned", reports=reports, lives=(life,))
