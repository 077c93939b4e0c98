"""The ledger tells for each sample how often an epoch used it, through restarts, and never that all is well if not."""

from __future__ import annotations

import gzip
import random
import time
import tracemalloc
from collections.abc import Callable, Iterable, Sequence

import pytest

from eagleray.store import ledger, paths
from eagleray.store.checkpoints import CheckpointId
from eagleray.store.ledger import EpochUse, LedgerReport, StepUse
from eagleray.store.objects import ObjectMissing, Objects
from eagleray.store.records import Damaged

RUN = "a-0001"


def _id(step: int, lease: int = 1) -> CheckpointId:
    return CheckpointId(step=step, lease=lease)


def _step(step: int, epoch: int, *ranks: Sequence[int], skipped: Sequence[int] = ()) -> StepUse:
    return StepUse(step=step, epoch=epoch, ranks=[list(rank) for rank in ranks], skipped=list(skipped))


STEPS = [
    _step(1, 0, [3, 0], [1]),
    _step(2, 0, [2], []),
    _step(3, 1, [1, 2], [0]),
    _step(4, 1, [3]),
]
"""Two epochs over four samples."""


def _write(objects: Objects, *parts: tuple[CheckpointId, CheckpointId | None, Iterable[StepUse]]) -> None:
    for checkpoint, parent, steps in parts:
        ledger.write(objects, RUN, checkpoint, parent=parent, num_samples=4, steps=steps)


# Along the chain


def test_the_chain_is_read_in_the_order_of_its_steps(objects: Objects) -> None:
    """What attempt 1 still did up to step 3, and lost, is not of the chain."""
    _write(
        objects,
        (_id(2), None, STEPS[:2]),
        (_id(3), _id(2), [_step(3, 1, [0, 0])]),
        (_id(3, 2), _id(2), STEPS[2:3]),
        (_id(3, 3), _id(3, 2), []),
        (_id(4, 3), _id(3, 3), STEPS[3:]),
    )
    assert ledger.read(objects, RUN, _id(4, 3)) == STEPS
    assert ledger.read(objects, RUN, _id(2)) == STEPS[:2]
    assert ledger.examine(objects, RUN, _id(4, 3)) == ledger.report(STEPS, 4)
    assert ledger.examine(objects, RUN, _id(4, 3)).is_exact
    assert not ledger.examine(objects, RUN, _id(3)).is_exact


def test_the_chain_of_a_fork_goes_on_in_the_other_run(objects: Objects) -> None:
    _write(objects, (_id(2), None, STEPS[:2]))
    ledger.write(objects, "b-0001", _id(4), parent=_id(2), parent_run=RUN, num_samples=4, steps=STEPS[2:])
    ledger.write(objects, "b-0001", _id(4, 2), parent=_id(4), num_samples=4, steps=[])
    assert ledger.read(objects, "b-0001", _id(4, 2)) == STEPS
    assert ledger.examine(objects, "b-0001", _id(4, 2)).is_exact


def test_a_checkpoint_made_of_another_passes_its_past_on(objects: Objects) -> None:
    _write(objects, (_id(2), None, STEPS[:2]))
    ledger.pass_on(objects, RUN, _id(2, 7), parent=_id(2))
    ledger.pass_on(objects, RUN, _id(5, 7), parent=_id(5))
    assert ledger.read(objects, RUN, _id(2, 7)) == STEPS[:2]
    assert ledger.examine(objects, RUN, _id(5, 7)).problem.endswith(
        "there is no runs/a-0001/ledger/000000005-0007.jsonl.gz"
    )


def test_a_checkpoint_is_not_its_own_parent(objects: Objects) -> None:
    with pytest.raises(ValueError, match="cannot be its own parent"):
        _write(objects, (_id(2), _id(2), STEPS[:2]))


# What is counted


def _epoch(epoch: int, used: int, *, missed: int = 0, repeated: int = 0, skipped: int = 0) -> EpochUse:
    return EpochUse(
        epoch=epoch,
        num_used=used,
        num_missed=missed,
        num_repeated=repeated,
        num_skipped=skipped,
        is_complete=not missed,
    )


@pytest.mark.parametrize(
    ("steps", "epochs", "is_exact"),
    [
        pytest.param([], [], True, id="nothing-yet"),
        pytest.param(STEPS, [_epoch(0, 4), _epoch(1, 4)], True, id="each-once"),
        pytest.param(STEPS[:3], [_epoch(0, 4), _epoch(1, 3, missed=1)], True, id="the-last-epoch-goes-on"),
        pytest.param(
            [_step(1, 0, [0, 1]), _step(2, 1, [0])],
            [_epoch(0, 2, missed=2), _epoch(1, 1, missed=3)],
            False,
            id="missed-and-the-next-epoch-begun",
        ),
        pytest.param(
            [_step(1, 0, [0, 1, 2, 3]), _step(2, 2, [0, 1, 2, 3])],
            [_epoch(0, 4), _epoch(1, 0, missed=4), _epoch(2, 4)],
            False,
            id="an-epoch-passed-over",
        ),
        pytest.param([_step(1, 0, [0, 1], [1, 2])], [_epoch(0, 3, missed=1, repeated=1)], False, id="by-two-ranks"),
        pytest.param([_step(1, 0, [0, 0, 0])], [_epoch(0, 1, missed=3, repeated=1)], False, id="three-times-by-one"),
        pytest.param(
            [_step(1, 0, [0, 1]), _step(2, 0, [1, 2, 3])], [_epoch(0, 4, repeated=1)], False, id="in-two-steps"
        ),
        pytest.param(
            [_step(1, 0, [0, 1], skipped=[2]), _step(2, 0, [3]), _step(3, 1, [0])],
            [_epoch(0, 3, skipped=1), _epoch(1, 1, missed=3)],
            True,
            id="one-skipped",
        ),
        pytest.param(
            [_step(1, 0, [0, 1], skipped=[2, 2, 1]), _step(2, 0, [3, 2])],
            [_epoch(0, 4)],
            True,
            id="skipped-and-used-counts-as-used",
        ),
    ],
)
def test_report(steps: list[StepUse], epochs: list[EpochUse], is_exact: bool) -> None:
    assert ledger.report(steps, 4) == LedgerReport(num_samples=4, epochs=tuple(epochs), is_exact=is_exact)


@pytest.mark.parametrize(
    ("steps", "problem"),
    [
        pytest.param([STEPS[0], STEPS[0]], "step 1 stands where step 2 should", id="twice"),
        pytest.param([STEPS[0], STEPS[2]], "step 3 stands where step 2 should", id="gap"),
        pytest.param([_step(1, 0, [4])], "step 1 names a sample outside of the 4 there are", id="too-high"),
        pytest.param([_step(1, 0, [], [0, -1])], "step 1 names a sample outside of the 4 there are", id="negative"),
        pytest.param([_step(1, 0, skipped=[4])], "step 1 names a sample outside of the 4 there are", id="skipped"),
    ],
)
def test_a_report_names_what_cannot_be(steps: list[StepUse], problem: str) -> None:
    found = ledger.report(steps, 4)
    assert (found.problem, found.is_exact) == (problem, False)


@pytest.mark.parametrize(
    ("steps", "head", "problem"),
    [
        pytest.param(STEPS[1:], 4, "step 2 stands where step 1 should", id="no-beginning"),
        pytest.param(STEPS[:3], 4, "it ends before step 4, the checkpoint is of step 4", id="no-end"),
        pytest.param([], 4, "it ends before step 1, the checkpoint is of step 4", id="nothing"),
        pytest.param([], 0, "", id="nothing-to-tell"),
    ],
)
def test_the_ledger_of_a_checkpoint_tells_all_steps(
    objects: Objects, steps: list[StepUse], head: int, problem: str
) -> None:
    _write(objects, (_id(head), None, steps))
    found = ledger.examine(objects, RUN, _id(head))
    assert (found.problem, found.is_exact) == (problem, not problem)


# Damage


def _cut(data: bytes) -> bytes:
    return data[: len(data) - 9]


def _flip(data: bytes) -> bytes:
    return data[:-6] + bytes([data[-6] ^ 1]) + data[-5:]


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(_cut, id="cut"),
        pytest.param(_flip, id="byte-flipped"),
        pytest.param(lambda data: b"", id="empty"),
        pytest.param(lambda data: b"text", id="not-compressed"),
        pytest.param(lambda data: gzip.compress(b""), id="no-lines"),
        pytest.param(lambda data: gzip.compress(b"{}\n"), id="no-header"),
        pytest.param(lambda data: gzip.compress(gzip.decompress(data) + b"{\n"), id="half-a-line"),
        pytest.param(
            lambda data: gzip.compress(gzip.decompress(data).replace(b'"format":1', b'"format":2')), id="newer"
        ),
    ],
)
def test_a_damaged_part_is_a_problem(objects: Objects, damage: Callable[[bytes], bytes]) -> None:
    _write(objects, (_id(2), None, STEPS[:2]), (_id(4), _id(2), STEPS[2:]))
    key = paths.ledger(RUN, 2, 1)
    objects.put(key, damage(objects.read(key)))
    found = ledger.examine(objects, RUN, _id(4))
    assert not found.is_exact
    assert f"the ledger {key} is damaged" in found.problem
    with pytest.raises(Damaged):
        ledger.read(objects, RUN, _id(4))


def test_a_missing_part_is_a_problem(objects: Objects) -> None:
    _write(objects, (_id(4), _id(2), STEPS[2:]))
    found = ledger.examine(objects, RUN, _id(4))
    assert not found.is_exact
    assert found.problem.endswith(f"there is no {paths.ledger(RUN, 2, 1)}")
    with pytest.raises(ObjectMissing):
        ledger.read(objects, RUN, _id(4))


def test_parts_of_different_splits_are_a_problem(objects: Objects) -> None:
    _write(objects, (_id(2), None, STEPS[:2]))
    ledger.write(objects, RUN, _id(4), parent=_id(2), num_samples=5, steps=STEPS[2:])
    assert "training splits of different sizes" in ledger.examine(objects, RUN, _id(4)).problem
    assert not ledger.examine(objects, RUN, _id(4)).is_exact


def test_a_chain_that_runs_in_a_circle_is_a_problem(objects: Objects) -> None:
    _write(objects, (_id(2), _id(4), STEPS[:2]), (_id(4), _id(2), STEPS[2:]))
    assert "is its own ancestor" in ledger.examine(objects, RUN, _id(4)).problem


# Size


def test_a_large_split_takes_a_second_and_little_memory(local: Objects) -> None:
    num_samples, batch = 200_000, 500

    def epoch(number: int) -> Iterable[StepUse]:
        order = random.Random(number).sample(range(num_samples), num_samples)
        for k in range(num_samples // batch):
            taken = order[k * batch : (k + 1) * batch]
            yield _step(number * num_samples // batch + k + 1, number, taken[::2], taken[1::2])

    parent = None
    for number in range(2):
        checkpoint = _id((number + 1) * num_samples // batch)
        ledger.write(local, RUN, checkpoint, parent=parent, num_samples=num_samples, steps=epoch(number))
        parent = checkpoint
    assert parent is not None
    began = time.process_time()
    found = ledger.examine(local, RUN, parent)
    assert time.process_time() - began < 2
    assert found.is_exact
    assert [each.num_used for each in found.epochs] == [num_samples] * 2
    tracemalloc.start()
    ledger.examine(local, RUN, parent)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < 5 * 2**20
    assert local.list(paths.ledgers(RUN))[0].size_bytes < 4 * num_samples
