"""What tells the cached samples of one task from those of another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from eagleray.data.encoder import fingerprint
from eagleray.spec.task import CausalLmSpec
from tests.support.reviews import ReviewTask


@dataclass(frozen=True)
class Holder:
    """A dataclass around any value, not a whole task."""

    value: Any


def test_a_task_is_told_by_its_class_and_fields() -> None:
    tasks = [ReviewTask(), ReviewTask(labels=("a", "b")), ReviewTask(labels=("b", "a")), ReviewTask(text="review")]
    assert len({fingerprint(task) for task in tasks}) == 4
    assert fingerprint(ReviewTask()) == fingerprint(ReviewTask())


def test_a_spec_inside_a_task_counts_by_its_values() -> None:
    specs = [CausalLmSpec(type="causal-lm"), CausalLmSpec(type="causal-lm"), CausalLmSpec(type="causal-lm", text="t")]
    first, same, other = (fingerprint(Holder(spec)) for spec in specs)  # type: ignore[arg-type]
    assert first == same != other


@pytest.mark.parametrize("task", [object(), ReviewTask, Holder(object())], ids=["object", "class", "odd field"])
def test_a_task_whose_fields_cannot_be_told_is_refused(task: Any) -> None:
    with pytest.raises(TypeError):
        fingerprint(task)
