"""How many steps a run takes, and what is due after each of them: pure functions."""

from __future__ import annotations

from dataclasses import dataclass

MAX_LAYER_RECORDS = 200


@dataclass(frozen=True, slots=True)
class Due:
    """What to do after a step."""

    evaluation: bool
    checkpoint: bool


def steps_per_epoch(num_samples: int, *, global_batch_size: int) -> int:
    """Return the optimizer steps of a pass over the data; a last partial batch is a step."""
    return -(-num_samples // global_batch_size)


def total_steps(steps_per_epoch: int, *, epochs: int, max_steps: int | None) -> int:
    """Return the number of optimizer steps of a run."""
    steps = epochs * steps_per_epoch
    return steps if max_steps is None else min(steps, max_steps)


def measures_layers(step: int, *, log_every: int, total_steps: int) -> bool:
    """Return whether the gradients of `step` are measured by layer: of the first step, and of some that are logged.

    That is a pass over all gradients and a record of a number a layer, hence no more than MAX_LAYER_RECORDS in a run.
    """
    stride = -(-total_steps // (log_every * MAX_LAYER_RECORDS)) * log_every
    return step == 1 or step % stride == 0


def doubted(*, steps_per_epoch: int, total_steps: int) -> range:
    """Return the steps whose rows are looked at for labels that look wrong.

    That is the second epoch: the model knows what is to be told apart, and no row by heart yet. Where there is no whole
    second epoch, it is the second half of the first.
    """
    if total_steps >= 2 * steps_per_epoch:
        return range(steps_per_epoch + 1, 2 * steps_per_epoch + 1)
    last = min(steps_per_epoch, total_steps)
    return range(last // 2 + 1, last + 1)


def due(
    *, step: int, steps_per_epoch: int, total_steps: int, checkpoint_every: int | None, evaluate_every: int | None
) -> Due:
    """Return what is due after `step`.

    A checkpoint every so many steps, or at the end of each epoch, and at the last step; an evaluation before each
    checkpoint, and every `evaluate_every` steps.
    """
    is_asked = step % (steps_per_epoch if checkpoint_every is None else checkpoint_every) == 0
    checkpoint = is_asked or step == total_steps
    return Due(
        evaluation=checkpoint or (evaluate_every is not None and step % evaluate_every == 0), checkpoint=checkpoint
    )
