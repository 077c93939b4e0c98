"""Step figures survive a kill up to the last flush, and steps that were done again count once."""

from __future__ import annotations

from typing import Any

import pytest

from eagleray.errors import StorageError
from eagleray.store import paths
from eagleray.store.objects import Objects
from eagleray.store.steps import Reader, StepLog, read_steps

RUN = "a-0001"


def _log(objects: Objects, *segments: list[dict[str, Any]], lease: int = 1) -> None:
    log = StepLog(objects, RUN, lease=lease)
    for segment in segments:
        for record in segment:
            log.add(record)
        log.flush()


def _step(step: int, **fields: Any) -> dict[str, Any]:
    return {"step": step, "loss": float(step), **fields}


def _norms(step: int) -> dict[str, Any]:
    return {"step": step, "gradient_norms": {"head": 1.0}}


def _evaluation(step: int) -> dict[str, Any]:
    return {"step": step, "validation": {"f1": 0.5}}


def test_what_was_flushed_is_read(objects: Objects) -> None:
    assert read_steps(objects, RUN) == []
    _log(objects, [_step(1), _step(2)], [], [_step(3, loss=float("nan"))])
    assert read_steps(objects, RUN) == [_step(1), _step(2), {"step": 3, "loss": None}]
    assert len(objects.list(paths.steps_folder(RUN))) == 2


@pytest.mark.parametrize(
    ("attempts", "expected"),
    [
        pytest.param([[[_step(10)], [_evaluation(10)]]], [_step(10), _evaluation(10)], id="two-kinds-of-one-step"),
        pytest.param(
            [[[_step(1), _step(2), _step(3)]], [[_step(2, again=1), _step(3, again=1)]]],
            [_step(1), _step(2), _step(2, again=1), _step(3, again=1)],
            id="other-keys-of-the-first-step-stay",
        ),
        pytest.param(
            [[[_step(1)], [_step(2), _step(3)]], [[{"step": 2, "loss": 9.0}]]],
            [_step(1), {"step": 2, "loss": 9.0}],
            id="steps-done-again-replace-those-before",
        ),
        pytest.param(
            [[[_step(1), _evaluation(1)], [_step(2)]], [[_step(2), _evaluation(2)]]],
            [_step(1), _evaluation(1), _step(2), _evaluation(2)],
            id="resumed-after-an-evaluation",
        ),
        pytest.param(
            [[[_step(1), _norms(2), _step(2)]], [[_norms(2), _step(2), _step(3)]]],
            [_step(1), _norms(2), _step(2), _step(3)],
            id="all-kinds-of-the-first-step-are-replaced",
        ),
    ],
)
def test_attempts(objects: Objects, attempts: list[list[list[dict[str, Any]]]], expected: list[dict[str, Any]]) -> None:
    for number, segments in enumerate(attempts, start=1):
        _log(objects, *segments, lease=number)
    assert read_steps(objects, RUN) == expected


def test_what_an_attempt_writes_late_is_replaced_by_the_next(objects: Objects) -> None:
    """Its driver was asleep and taken for dead: the next attempt goes on from step 2."""
    old = StepLog(objects, RUN, lease=9)
    old.add(_step(1))
    old.add(_step(2))
    old.flush()
    _log(objects, [_step(2, again=True)], lease=10)
    for step in (3, 4):
        old.add(_step(step))
    old.flush()
    assert read_steps(objects, RUN) == [_step(1), _step(2), _step(2, again=True)]


def test_a_segment_written_twice_counts_once(objects: Objects) -> None:
    """The answer to the first write was lost."""
    _log(objects, [_step(1)], [_step(2), _step(3)])
    objects.put(paths.steps(RUN, 1, 3), objects.read(paths.steps(RUN, 1, 2)))
    _log(objects, [_step(4)])
    assert [record["step"] for record in read_steps(objects, RUN)] == [1, 2, 3, 4]


def test_what_could_not_be_written_is_written_by_the_next_flush(local: Objects) -> None:
    assert local.local_path is not None
    obstacle = local.local_path / "runs"
    obstacle.write_text("a file in the place of the folder")
    log = StepLog(local, RUN, lease=1)
    log.add(_step(1))
    with pytest.raises(StorageError):
        log.flush()
    obstacle.unlink()
    log.add(_step(2))
    log.flush()
    assert read_steps(local, RUN) == [_step(1), _step(2)]


@pytest.mark.parametrize(
    "content", [b"", b'{"step": 1}\n{"st', b'{"loss": 1}\n', b"[1]\n"], ids=["empty", "cut", "no-step", "list"]
)
def test_damage_is_named(objects: Objects, content: bytes) -> None:
    objects.put(paths.steps(RUN, 2, 1), content)
    with pytest.raises(StorageError, match=r"the step figures runs/a-0001/steps/000002-000001.jsonl are damaged"):
        read_steps(objects, RUN)


def test_a_reader_reads_each_segment_once(objects: Objects) -> None:
    log = StepLog(objects, RUN, lease=1)
    reader = Reader(objects, RUN)
    for step in (1, 2):
        log.add({"step": step})
        log.flush()
    assert reader.all() == [{"step": 1}, {"step": 2}]
    first, *_ = objects.list(paths.steps_folder(RUN))
    objects.put(first.key, b"nobody reads this")
    log.add({"step": 3})
    log.flush()

    assert reader.all() == [{"step": 1}, {"step": 2}, {"step": 3}]
