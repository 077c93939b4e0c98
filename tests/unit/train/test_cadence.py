"""When a run evaluates and saves."""

from __future__ import annotations

import pytest

from eagleray.train.cadence import MAX_LAYER_RECORDS, doubted, due, measures_layers, steps_per_epoch, total_steps


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


@pytest.mark.parametrize(
    ("log_every", "total_steps", "first", "count"),
    [(1, 5, [1, 2, 3, 4, 5], 5), (10, 100, [1, 10, 20], 11), (10, 100_000, [1, 500, 1000], 201), (7, 3, [1], 1)],
    ids=["every step", "every logged step", "no more than so many", "a run without a logged step"],
)
def test_layers_are_measured_a_bounded_number_of_times(
    log_every: int, total_steps: int, first: list[int], count: int
) -> None:
    steps = range(1, total_steps + 1)
    measured = [step for step in steps if measures_layers(step, log_every=log_every, total_steps=total_steps)]

    assert measured[: len(first)] == first
    assert len(measured) == count <= MAX_LAYER_RECORDS + 1


@pytest.mark.parametrize(
    ("total_steps", "first", "last"),
    [(30, 11, 20), (20, 11, 20), (19, 6, 10), (10, 6, 10), (7, 4, 7), (1, 1, 1)],
    ids=["three epochs", "two", "less than two", "one", "less than one", "one step"],
)
def test_labels_are_doubted_in_the_second_epoch(total_steps: int, first: int, last: int) -> None:
    steps = doubted(steps_per_epoch=10, total_steps=total_steps)

    assert (steps[0], steps[-1]) == (first, last)
