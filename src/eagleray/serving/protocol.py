"""What goes into and comes out of `/v1/predict`, for each task: the bodies that OpenAPI shows."""

from __future__ import annotations

from typing import Annotated, Any, Literal, assert_never

from pydantic import BaseModel, ConfigDict, Field, create_model

from eagleray.spec.task import CausalLmSpec, TaskSpec, TextClassificationSpec


class Body(BaseModel):
    """A JSON body. Unknown keys are errors: a misspelled option must not be ignored."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, frozen=True)


class ModelFacts(Body):
    """A model that answers here."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str = "eagleray"
    task: str
    version: int | None
    """The version that answers; none for an ensemble."""
    candidate: int | None = None
    """The version that is about to take over."""
    labels: tuple[str, ...] = ()
    columns: dict[str, Literal["text", "messages"]] = {}
    """What an input has to hold, and of which kind each is."""


class ModelList(Body):
    """The models that answer here, in OpenAI's form."""

    object: Literal["list"] = "list"
    data: tuple[ModelFacts, ...]


class LabelAnswer(Body):
    """One label a row."""

    label: str
    probabilities: dict[str, float]


class LabelsAnswer(Body):
    """Any number of labels a row."""

    labels: tuple[str, ...]
    probabilities: dict[str, float]


class ValueAnswer(Body):
    """A number a row."""

    value: float


class TextAnswer(Body):
    """What was added to a text."""

    text: str


class Message(Body):
    """One turn of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: str


def row_type(task: TaskSpec) -> type[Body]:
    """One input as an object with the columns that the task reads."""
    # By alias: a column may be called what no attribute can.
    fields: dict[str, Any] = {
        f"column_{number}": (kind, Field(alias=column))
        for number, (column, kind) in enumerate(_input_columns(task).items())
    }
    name = "".join(part.title() for part in task.type.split("-")) + "Input"
    return create_model(name, __base__=Body, __doc__="One input.", **fields)


def input_type(task: TaskSpec) -> Any:
    """The type of one input: `row_type`, or also the text alone where that is all."""
    return str | row_type(task) if text_column(task) is not None else row_type(task)


def answer_type(task: TaskSpec) -> type[Body]:
    """The type of one answer."""
    match task:
        case TextClassificationSpec(problem="single-label"):
            return LabelAnswer
        case TextClassificationSpec(problem="multi-label"):
            return LabelsAnswer
        case TextClassificationSpec():
            return ValueAnswer
        case CausalLmSpec():
            return TextAnswer
    assert_never(task)


def request_type(tasks: dict[str, TaskSpec]) -> type[Body]:
    """The body of `POST /v1/predict` for an endpoint with these models."""
    row: Any = _one_of([input_type(task) for task in _distinct(tasks)])
    first = next(iter(tasks))
    return create_model(
        "PredictRequest",
        __base__=Body,
        __doc__="One input or a list of them.",
        inputs=(row | Annotated[list[row], Field(min_length=1)], Field(description="One input, or a list of them.")),
        model=(str | None, Field(None, description=f"One of {', '.join(tasks)}; left out: {first}.")),
        truncate=(bool | None, Field(None, description="Cut what is too long instead of refusing it.")),
    )


def response_type(tasks: dict[str, TaskSpec]) -> type[Body]:
    """The body that `POST /v1/predict` answers with."""
    answer: Any = _one_of([answer_type(task) for task in _distinct(tasks)])
    return create_model(
        "PredictResponse",
        __base__=Body,
        __doc__="An answer for each input, in their order.",
        model=(str, Field(description="The model that answered.")),
        version=(int | None, Field(description="Its version; none for an ensemble.")),
        outputs=(list[answer], Field(description="An answer for each input.")),
    )


def columns(task: TaskSpec) -> dict[str, Literal["text", "messages"]]:
    """What an input holds: texts, or the messages of a conversation."""
    return {column: "text" if kind is str else "messages" for column, kind in _input_columns(task).items()}


def text_column(task: TaskSpec) -> str | None:
    """The column that a bare text stands for; None where an input has more than one."""
    columns = _input_columns(task)
    return next(iter(columns)) if list(columns.values()) == [str] else None


def _input_columns(task: TaskSpec) -> dict[str, Any]:
    match task:
        case TextClassificationSpec(text_pair=None):
            return {task.text: str}
        case TextClassificationSpec(text_pair=str(pair)):
            return {task.text: str, pair: str}
        case CausalLmSpec(format="chat"):
            return {task.messages: Annotated[list[Message], Field(min_length=1)]}
        case CausalLmSpec(format="completion"):
            return {task.prompt: str}
        case CausalLmSpec():
            return {task.text: str}
    raise AssertionError(task)


def _distinct(tasks: dict[str, TaskSpec]) -> list[TaskSpec]:
    """Tasks that differ in what goes in or comes out."""
    seen: dict[tuple[str, str, str], TaskSpec] = {}
    for task in tasks.values():
        seen.setdefault((task.type, str(_input_columns(task)), answer_type(task).__name__), task)
    return list(seen.values())


def _one_of(kinds: list[Any]) -> Any:
    union = kinds[0]
    for kind in kinds[1:]:
        union = union | kind
    return union
