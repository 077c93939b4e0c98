"""Do gradients vanish or explode on their way through the layers, and in which?"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence

from eagleray.report.diagnosis.finding import Finding, Point, finite

EXPLODED = 50.0
"""A norm has exploded at so many times the median of what came before."""
VANISHED = 1e-3
"""A block's gradient has vanished below this share of the block with the largest."""
DEAD = 1e-6
"""A layer learns nothing below this share of the whole gradient."""
CLIPPED = 10.0
"""Clipping decides the size of the steps where the median norm is so many times the limit."""

Layers = tuple[int, Mapping[str, float]]
"""A step, and the norm of each layer's gradient there."""


def exploding(norms: Sequence[Point], layers: Sequence[Layers], *, clip: float | None) -> Iterator[Finding]:
    """Look for a norm far above all before it, and for one that is no number any more."""
    broken = next((step for step, norm in norms if not math.isfinite(norm)), None)
    jumped = _jump(finite(norms))
    if broken is None and jumped is None:
        return
    advice = "Lower train.learning_rate and give train.schedule a warmup"
    if clip is None:
        advice += "; set train.gradient_clip (1.0 is usual)"
    if broken is not None:
        where = _largest(layers, broken)
        yield Finding(
            "problem", "The gradients exploded", f"their norm is no number at step {broken:,}{where}", advice, broken
        )
    elif jumped is not None:
        step, norm, usual = jumped
        yield Finding(
            "warning",
            "The gradients exploded",
            f"at step {step:,} their norm was {norm:.4g}, {norm / usual:,.0f} times the median of the steps before"
            f"{_largest(layers, step)}",
            f"{advice}; look at the rows of that step",
            step,
        )


def vanishing(layers: Sequence[Layers]) -> Iterator[Finding]:
    """Look for blocks that hardly learn beside others of the same shape, and for layers that do not learn at all."""
    measured = [norms for step, norms in layers if step > 1] or [norms for _, norms in layers]
    measured = [norms for norms in measured if all(map(math.isfinite, norms.values())) and any(norms.values())]
    if not measured:
        return
    typical = {layer: statistics.median(norms[layer] for norms in measured) for layer in measured[0]}
    whole = math.hypot(*typical.values())
    dead = [layer for layer, norm in typical.items() if norm < DEAD * whole]
    blocks = {
        layer: norm for layer, norm in typical.items() if layer.rpartition(".")[2].isdecimal() and layer not in dead
    }
    if dead:
        yield Finding(
            "warning",
            f"{_named(dead)} {'learns' if len(dead) == 1 else 'learn'} nothing",
            f"of a gradient with the norm {whole:.4g} less than {DEAD * whole:.1g} is theirs, in the median of "
            f"{len(measured)} steps",
            "Nothing that counts depends on these weights: take another model.source, or train others with method.type "
            "lora",
        )
    if len(blocks) < 3:
        return
    strongest = max(blocks, key=lambda layer: blocks[layer])
    faint = [layer for layer, norm in blocks.items() if norm < VANISHED * blocks[strongest]]
    if faint:
        weakest = min(faint, key=lambda layer: blocks[layer])
        yield Finding(
            "warning",
            f"The gradients vanish in {_named(faint)}",
            f"{weakest} has a norm of {blocks[weakest]:.2g} where {strongest} has {blocks[strongest]:.2g}, in the "
            f"median of {len(measured)} steps",
            "Set train.precision: fp32 if it is bf16, give train.schedule a longer warmup, or let fewer weights learn "
            "with method.type lora",
        )


def clipped(norms: Sequence[Point], *, clip: float | None) -> Iterator[Finding]:
    """Say where the limit, not the learning rate, decides how far a step goes."""
    known = [norm for _, norm in finite(norms)]
    if clip is None or len(known) < 10 or statistics.median(known) < CLIPPED * clip:
        return
    yield Finding(
        "note",
        "Nearly every step is clipped",
        f"the median norm of the gradients is {statistics.median(known):.4g}, train.gradient_clip is {clip:g}",
        "That is harmless with adam and adamw, which do not depend on the size of gradients. With sgd the steps are "
        "that much smaller than train.learning_rate says: raise train.gradient_clip",
    )


def _jump(norms: Sequence[Point]) -> tuple[int, float, float] | None:
    """The first norm far above the median of those before it, and that median."""
    before: list[float] = []
    for step, norm in norms:
        usual = statistics.median(before) if len(before) >= 5 else 0.0
        if usual and norm > EXPLODED * usual:
            return step, norm, usual
        before = [*before, norm][-200:]
    return None


def _largest(layers: Sequence[Layers], step: int) -> str:
    """In which layer most of it was, by the last measurement up to that step."""
    measured = [norms for at, norms in layers if at <= step and norms]
    if not measured:
        return ""
    layer = max(measured[-1], key=lambda name: _rank(measured[-1][name]))
    return f", most of it in {layer}"


def _rank(norm: float) -> float:
    return norm if math.isfinite(norm) else math.inf


def _named(layers: Sequence[str]) -> str:
    return ", ".join(layers[:3]) + (f" and {len(layers) - 3} more layers" if len(layers) > 3 else "")
