"""When a run evaluates and saves."""

from __future__ import annotations

import pytest

from eagleray.train.cadence import due, steps_per_epoch, total_steps


@pytest.mark.parametrize(
    ("num_samples", "batch", "epochs", "max_steps", "expected"),
    [(100, 32, 1, None, 4), (96, 32, 2, None, 6), (100, 32, 3, 5, 5), (10, 32, 2, 100, 2)],
    ids=["partial batch counts", "epochs", "capped", "cap beyond the end"],
)
def test_total_steps(num_samples: int, batch: int, epochs: int, max_steps: int | None, expected: int) -> None:
    per_epoch = steps_per_epoch(num_samples, global_batch_size=batch)

    assert total_steps(per_epoch, epochs=epochs, max_steps=max_steps) == expected


@pytest.mark.parametrize(
    ("checkpoint_every", "evaluate_every", "evaluations", "checkpoints"),
    [
        (None, None, [4, 8, 10], [4, 8, 10]),
        (3, None, [3, 6, 9, 10], [3, 6, 9, 10]),
        (None, 3, [3, 4, 6, 8, 9, 10], [4, 8, 10]),
        (5, 2, [2, 4, 5, 6, 8, 10], [5, 10]),
    ],
    ids=["each epoch and the end", "checkpoint interval", "evaluation interval", "both"],
)
def test_due(
    checkpoint_every: int | None, evaluate_every: int | None, evaluations: list[int], checkpoints: list[int]
) -> None:
    after = {
        step: due(
            step=step,
            steps_per_epoch=4,
            total_steps=10,
            checkpoint_every=checkpoint_every,
            evaluate_every=evaluate_every,
        )
        for step in range(1, 11)
    }

    assert [step for step, what in after.items() if what.evaluation] == evaluations
    assert [step for step, what in after.items() if what.checkpoint] == checkpoints
