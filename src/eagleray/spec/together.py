"""What must a document with several tasks leave to each of them, and what has no meaning for several?"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from eagleray.spec.base import Conflict
from eagleray.spec.data import DataSpec, MemberDataSpec, RowsSpec
from eagleray.spec.method import MethodSpec, PromptTuningSpec, PTuningV2Spec
from eagleray.spec.task import MultiTaskSpec, QuestionAnsweringSpec, TaskSpec, TextClassificationSpec
from eagleray.spec.task.base import TaskBase
from eagleray.spec.train import TrainSpec

Change = Callable[[str, str], str]
"""(key, source) -> the source that is named instead."""

_OF_ONE = ("language", "train_languages", "clean", "few_shot", "balance", "augment")


def conflicts(task: TaskSpec, *, data: DataSpec, method: MethodSpec, train: TrainSpec) -> Iterator[Conflict]:
    """Yield what of a document does not go with several tasks, or is missing for one; paths are relative to `spec`."""
    if not isinstance(task, MultiTaskSpec):
        if data.train is None:
            wanted = "a string that is not empty"
            is_given = "train" in data.model_fields_set
            given = f"expected {wanted}, got nothing: write a value"
            yield Conflict("data.train", given if is_given else f"required and missing: give {wanted}")
        return
    plain = DataSpec()
    for key in RowsSpec.model_fields:
        if getattr(data, key) != getattr(plain, key):
            yield Conflict(f"data.{key}", f"each task names its own: write it at task.tasks[0].data.{key}")
    for key in _OF_ONE:
        if getattr(data, key) != getattr(plain, key):
            yield Conflict(f"data.{key}", "is for a document with one task: leave it out")
    if isinstance(method, PTuningV2Spec | PromptTuningSpec):
        message = f"{method.type} learns a prompt for one task; for several over one encoder use lora, ia3 or full"
        yield Conflict("method.type", message)
    for number, member in enumerate(task.tasks):
        place = f"task.tasks[{number}]"
        yield from head_conflicts(member.task, train, place=f"{place}.task", called=f"{place} ({member.name})")


def head_conflicts(task: TaskBase, train: TrainSpec, *, place: str, called: str) -> Iterator[Conflict]:
    """Yield what does not go with one task, be it alone or among several: the one at `place`, in words `called`."""
    scored = task if isinstance(task, TextClassificationSpec) and task.problem == "regression" else None
    if train.label_smoothing and (scored is not None or isinstance(task, QuestionAnsweringSpec)):
        yield Conflict("train.label_smoothing", f"has no meaning for {called}: leave it out")
    if scored is not None and scored.labels:
        yield Conflict(f"{place}.labels", "have no meaning for regression: leave them out")


def sources(task: TaskSpec, key: str = "spec.task") -> dict[str, str]:
    """Return the data that the tasks of a document name, by their place in it; {} where `data` names them."""
    if not isinstance(task, MultiTaskSpec):
        return {}
    found: dict[str, str | None] = {}
    for number, member in enumerate(task.tasks):
        place, data = f"{key}.tasks[{number}].data", member.data
        found |= {f"{place}.train": data.train, f"{place}.validation.file": data.validation.file}
        found[f"{place}.test"] = data.test
    return {place: source for place, source in found.items() if source is not None}


def has_test(task: TaskSpec, data: DataSpec) -> bool:
    """Return whether there are rows to test on, of one of the tasks at least."""
    every = [member.data for member in task.tasks] if isinstance(task, MultiTaskSpec) else [data]
    return any(each.test is not None or each.test_fraction is not None for each in every)


def with_sources(task: TaskSpec, change: Change, key: str = "spec.task") -> TaskSpec:
    """Return `task` with other data at the places that `sources` tells."""
    if not isinstance(task, MultiTaskSpec):
        return task
    changed = {place: change(place, source) for place, source in sources(task, key).items()}
    members = tuple(
        member.model_copy(update={"data": _moved(member.data, changed, f"{key}.tasks[{number}].data")})
        for number, member in enumerate(task.tasks)
    )
    return task.model_copy(update={"tasks": members})


def _moved(data: MemberDataSpec, changed: dict[str, str], place: str) -> MemberDataSpec:
    validation = data.validation.model_copy(update={"file": changed.get(f"{place}.validation.file")})
    named = {"train": changed[f"{place}.train"], "test": changed.get(f"{place}.test"), "validation": validation}
    return data.model_copy(update=named)
