"""Does a run spend its time on something else than steps?"""

from __future__ import annotations

from collections.abc import Iterator

from eagleray.report.diagnosis.finding import Finding
from eagleray.store.goodput import Category, Goodput

LEAST_WALL_S = 300.0
"""In a shorter run start-up is most of it, and nobody minds."""
_LARGE: dict[Category, tuple[float, str, str]] = {
    "start_up": (0.3, "starting its workers", "Fewer restarts would help: see the time line for what caused them"),
    "data": (0.1, "waiting for data", "Give each worker more CPUs: scale.cpus_per_worker"),
    "checkpoint": (0.1, "standing still for checkpoints", "Raise checkpoint.every_steps, or take a faster storage"),
    "evaluation": (0.3, "evaluating", "Raise train.evaluate_every_steps and checkpoint.every_steps"),
    "lost": (0.1, "doing steps again after failures", "Lower checkpoint.every_steps: less is lost with a worker"),
}


def spent(goodput: Goodput | None) -> Iterator[Finding]:
    """Look for what takes more than its share."""
    if goodput is None or goodput.wall_s < LEAST_WALL_S:
        return
    for category, (limit, doing, advice) in _LARGE.items():
        share = goodput.seconds.get(category, 0.0) / goodput.wall_s
        if share > limit:
            yield Finding(
                "note",
                f"{share:.0%} of the time goes into {doing}",
                f"{goodput.seconds[category]:,.0f} s of {goodput.wall_s:,.0f} s; steps that count take "
                f"{goodput.share:.0%}",
                advice,
            )
