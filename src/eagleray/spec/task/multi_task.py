"""What a document says of multi-task."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from eagleray.spec.base import Conflict, ConflictError, Name, Positive, Spec
from eagleray.spec.data import MemberDataSpec
from eagleray.spec.task.base import Answer, Input, TaskBase
from eagleray.spec.task.question_answering import QuestionAnsweringSpec
from eagleray.spec.task.text_classification import TextClassificationSpec
from eagleray.spec.task.token_classification import TokenClassificationSpec

SELECTOR = "task"
"""The column of a row to predict that says which task it is for."""

MemberTaskSpec = Annotated[
    TextClassificationSpec | TokenClassificationSpec | QuestionAnsweringSpec, Field(discriminator="type")
]
"""The tasks whose heads stand on the last states of an encoder: a task joins them by its line here."""


class TaskMemberSpec(Spec):
    """One task of several: its head, and its rows."""

    name: Name
    """What its metrics and its weights are called by, and a row to predict asks for."""
    task: MemberTaskSpec
    """What is learned."""
    data: MemberDataSpec
    """The rows to learn it from."""


class SizeMixingSpec(Spec):
    """Every row of every task once an epoch."""

    type: Literal["size"]
    """How often the rows of each task are learned from."""


class TemperatureMixingSpec(Spec):
    """Shares between those of the rows and equal ones: n ** (1 / temperature) (Raffel et al. 2020, arXiv:1910.10683).
    The number of rows in an epoch stays."""

    type: Literal["temperature"]
    """How often the rows of each task are learned from."""
    temperature: Annotated[float, Field(ge=1)] = 2.0
    """1 leaves the shares as they are; the more, the more equal they become."""


class WeightsMixingSpec(Spec):
    """Shares as given. The number of rows in an epoch stays."""

    type: Literal["weights"]
    """How often the rows of each task are learned from."""
    weights: dict[str, Positive]
    """By the name of each task its part of an epoch, as `{tone: 1, names: 3}`."""


MixingSpec = Annotated[SizeMixingSpec | TemperatureMixingSpec | WeightsMixingSpec, Field(discriminator="type")]


class MultiTaskSpec(TaskBase):
    """Several tasks over one encoder, with a head for each."""

    type: Literal["multi-task"]
    """What is learned."""
    tasks: Annotated[tuple[TaskMemberSpec, ...], Field(min_length=2)]
    """The tasks, each with its name and its rows."""
    mixing: MixingSpec = SizeMixingSpec(type="size")
    """How often the rows of each task are learned from."""

    @model_validator(mode="after")
    def _names_are_told_apart(self) -> MultiTaskSpec:
        conflicts = [
            Conflict(f"tasks[{number}].name", f"another task is called {member.name} already")
            for number, member in enumerate(self.tasks)
            if member.name in [other.name for other in self.tasks[:number]]
        ]
        conflicts += [
            Conflict(
                f"tasks[{number}].task", f"its rows have a column `{SELECTOR}`, which says the task of a row: rename it"
            )
            for number, member in enumerate(self.tasks)
            if SELECTOR in member.task.inputs
        ]
        names = [member.name for member in self.tasks]
        if isinstance(self.mixing, WeightsMixingSpec) and set(self.mixing.weights) != set(names):
            message = f"names {', '.join(self.mixing.weights) or 'none'}: give each of {', '.join(names)} its part"
            conflicts.append(Conflict("mixing.weights", message))
        if conflicts:
            raise ConflictError(*conflicts)
        return self

    @property
    def metric_names(self) -> tuple[str, ...]:
        each = (f"{member.name}/{metric}" for member in self.tasks for metric in member.task.metric_names)
        return ("mean", "loss", *each)

    @property
    def compares(self) -> Literal["rows", "texts", "nothing"]:
        return "nothing"

    @property
    def inputs(self) -> dict[str, Input]:
        columns: dict[str, Input] = {SELECTOR: "text"}
        return columns | {name: kind for member in self.tasks for name, kind in member.task.inputs.items()}

    @property
    def answer(self) -> Answer:
        return self.tasks[0].task.answer

    @property
    def heads(self) -> dict[str, TaskBase]:
        return {member.name: member.task for member in self.tasks}
