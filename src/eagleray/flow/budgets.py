"""Which ZeRO stages fit a worker, and with how many samples at once?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from eagleray.spec.scale import ScaleSpec, ZeroSpec
from eagleray.train import budget
from eagleray.train.budget import Budget, Counts, Layout, Pass
from eagleray.train.deepspeed_config import effective_stage
from eagleray.train.memory import SHARE_OF_FREE_MEMORY

_ASCENDING = (
    ZeroSpec(stage=0),
    ZeroSpec(stage=1),
    ZeroSpec(stage=2),
    ZeroSpec(stage=3),
    ZeroSpec(stage=2, offload_optimizer=True),
    ZeroSpec(stage=3, offload_optimizer=True, offload_parameters=True),
)
"""From the fastest to the one that needs the least: what is sharded or offloaded is to be moved in each step."""


@dataclass(frozen=True, slots=True)
class Option:
    """One way to lay the state over the workers."""

    zero: ZeroSpec
    micro_batch_size: int
    budget: Budget
    fits: bool | None  # None where nobody knows what a worker has
    is_chosen: bool  # it is the document's


def options(
    counts: Counts,
    scale: ScaleSpec,
    one_pass: Callable[[int], Pass],
    *,
    share: int,
    micro_batch_size: int | None,
    on_cpu: bool,
    worker_bytes: int | None,
    saves_while_training: bool,
    before_bytes: int = 0,
) -> tuple[Option, ...]:
    """All ways, the document's among them. `share`: samples of a worker in a step, `micro_batch_size` None for auto.

    `one_pass(rows)` traces a pass over so many of the longest samples; others lie on a line through two of them.
    `before_bytes` are held beside whole weights before the first step.
    """
    one, whole = one_pass(1), one_pass(share)
    ways = [way for way in _ASCENDING if not (on_cpu and (way.offload_optimizer or way.offload_parameters))]
    if scale.zero not in ways:
        ways.append(scale.zero)

    def reckoned(way: ZeroSpec, rows: int) -> Budget:
        layout = Layout(
            stage=effective_stage(way.stage, precision="bf16" if counts.weight_bytes == 2 else "fp32"),
            world_size=scale.num_workers,
            offload_optimizer=way.offload_optimizer,
            offload_parameters=way.offload_parameters,
            on_cpu=on_cpu,
        )
        return budget.of_worker(
            counts,
            layout,
            _between(one, whole, share=share, rows=rows),
            accumulates=rows < share,
            saves_while_training=saves_while_training,
            before_bytes=before_bytes,
        )

    def fits(peak: int) -> bool | None:
        return None if worker_bytes is None else peak <= worker_bytes * SHARE_OF_FREE_MEMORY

    found = []
    for way in ways:
        rows = micro_batch_size or next(
            (rows for rows in _halved(share) if fits(reckoned(way, rows).peak) is not False), 1
        )
        reckoning = reckoned(way, rows)
        found.append(Option(way, rows, reckoning, fits(reckoning.peak), is_chosen=way == scale.zero))
    return tuple(found)


def _halved(share: int) -> list[int]:
    """All of a worker's samples at once, or the powers of two below."""
    return [share, *(1 << power for power in reversed(range((share - 1).bit_length())))]


def _between(one: Pass, whole: Pass, *, share: int, rows: int) -> Pass:
    """A pass over `rows` samples: what a sample takes more is the same for each."""
    if share == 1:
        return one
    part = (rows - 1) / (share - 1)
    return Pass(
        round(one.activations + part * (whole.activations - one.activations)),
        round(one.with_gradients + part * (whole.with_gradients - one.with_gradients)),
    )
