"""How many steps a run takes, and what is due after each of them: pure functions."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Due:
    """What to do after a step."""

    evaluation: bool
    checkpoint: bool


def total_steps(*, num_samples: int, global_batch_size: int, epochs: int, max_steps: int | None) -> int:
    """Return the number of optimizer steps; a last partial batch is a step."""
    steps = epochs * -(-num_samples // global_batch_size)
    return steps if max_steps is None else min(steps, max_steps)


def due(
    *, step: int, ends_epoch: bool, total_steps: int, checkpoint_every: int | None, evaluate_every: int | None
) -> Due:
    """Return what is due after `step`.

    A checkpoint every so many steps, or at the end of each epoch, and at the last step; an evaluation before each
    checkpoint, and every `evaluate_every` steps.
    """
    is_asked = ends_epoch if checkpoint_every is None else step % checkpoint_every == 0
    checkpoint = is_asked or step == total_steps
    return Due(
        evaluation=checkpoint or (evaluate_every is not None and step % evaluate_every == 0), checkpoint=checkpoint
    )
