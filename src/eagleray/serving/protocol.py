"""What goes into and comes out of `/v1/predict`, for each task: the bodies that OpenAPI shows."""

from __future__ import annotations

import re
from functools import cache
from typing import Annotated, Any, Literal, Union

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, create_model

from eagleray.spec.task import TaskSpec
from eagleray.spec.task.base import Answer, Input

Text = Annotated[str, Field(min_length=0)]
"""A text that can be written as UTF-8: a length makes pydantic look at it, which lets half a character pass else."""


ImageUri = Annotated[str, Field(pattern=r"^data:image/[a-z0-9.+-]+;base64,[A-Za-z0-9+/]+=*$")]
"""An image as a data URI. Never a path: that would be read where the endpoint runs."""


class Body(BaseModel):
    """A JSON body. Unknown keys are errors: a misspelled option must not be ignored."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, frozen=True)


class ModelFacts(Body):
    """A model that answers here."""

    id: str
    object: Literal["model"] = "model"
    created: int
    """When this process loaded it, in seconds since 1970; 0 where it is not in memory."""
    owned_by: str = "eagleray"
    task: str
    version: int | None
    """The version that answers; none for an ensemble."""
    candidate: int | None = None
    """The version that is about to take over."""
    columns: dict[str, Input] = {}
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


class FillingsAnswer(Body):
    """A text whose masks are filled, and the likeliest tokens of each mask."""

    text: str
    fillings: tuple[dict[str, float], ...]


class Span(Body):
    """A part of the input, in characters."""

    start: int
    end: int
    """Exclusive."""
    label: str
    text: str
    score: float
    """From 0 to 1."""


class SpansAnswer(Body):
    """The labelled parts of an input."""

    spans: tuple[Span, ...]
    score: float
    """From 0 to 1: how probable the tag is that the model is least sure of."""


class SpanAnswer(Body):
    """The part of the context that answers the question."""

    answer: str
    """Empty where the context does not answer it."""
    start: int
    end: int
    """Exclusive, in characters of the context."""
    score: float
    """From 0 to 1."""


ANSWERS: dict[Answer, type[Body]] = {
    "label": LabelAnswer,
    "labels": LabelsAnswer,
    "value": ValueAnswer,
    "text": TextAnswer,
    "fillings": FillingsAnswer,
    "spans": SpansAnswer,
    "answer": SpanAnswer,
}


class Message(Body):
    """One turn of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: Text


def row_type(task: TaskSpec) -> type[Body]:
    """One input as an object with the columns that the task reads; the same type for the same columns.

    Of several tasks it is that of the one which its column `task` names.
    """
    return _one_of(_row_types(task))  # type: ignore[no-any-return]


def answer_type(task: TaskSpec) -> type[Body]:
    """The type of one answer."""
    return _one_of([ANSWERS[each.answer] for each in task.heads.values() or (task,)])  # type: ignore[no-any-return]


def request_type(tasks: dict[str, TaskSpec]) -> type[Body]:
    """The body of `POST /v1/predict` for an endpoint with these models."""
    arms: list[Any] = [Annotated[_one_of([each for task in tasks.values() for each in _row_types(task)]), Tag("row")]]
    if any(text_column(task) is not None for task in tasks.values()):
        arms.append(Annotated[Text, Tag("text")])
    row: Any = _by_shape(arms)
    rows = Annotated[list[row], Field(min_length=1)]
    first = next(iter(tasks))
    return create_model(
        "PredictRequest",
        __base__=Body,
        __doc__="One input or a list of them.",
        inputs=(_by_shape([*arms, Annotated[rows, Tag("list")]]), Field(description="One input, or a list of them.")),
        model=(Text | None, Field(None, description=f"One of {', '.join(tasks)}; left out: {first}.")),
        truncate=(bool | None, Field(None, description="Cut what is too long instead of refusing it.")),
    )


def response_type(tasks: dict[str, TaskSpec]) -> type[Body]:
    """The body that `POST /v1/predict` answers with."""
    answer: Any = _one_of([answer_type(task) for task in tasks.values()])
    return create_model(
        "PredictResponse",
        __base__=Body,
        __doc__="An answer for each input, in their order.",
        model=(str, Field(description="The model that answered.")),
        version=(int | None, Field(description="Its version; none for an ensemble.")),
        outputs=(list[answer], Field(description="An answer for each input.")),
    )


def text_column(task: TaskSpec) -> str | None:
    """The column that a bare text stands for; None where an input is more than a text."""
    found = task.inputs
    return next(iter(found)) if list(found.values()) == ["text"] else None


def _row_types(task: TaskSpec) -> list[type[Body]]:
    if not task.heads:
        return [_row_type(tuple(task.inputs.items()))]
    return [_row_type(tuple(each.inputs.items()), name) for name, each in task.heads.items()]


@cache  # two types of one name would be told apart in OpenAPI by the path of this module
def _row_type(held: tuple[tuple[str, Input], ...], head: str | None = None) -> type[Body]:
    kinds: dict[Input, Any] = {
        "text": Text,
        "image": ImageUri,
        "messages": Annotated[list[Message], Field(min_length=1)],
        "words": Annotated[list[Text], Field(min_length=1)],
    }
    # By alias: a column may be called what no attribute can.
    fields: dict[str, Any] = {
        f"column_{number}": (kinds[kind], Field(alias=column)) for number, (column, kind) in enumerate(held)
    }
    if head is not None:
        fields = {"task": (Literal[head], ...), **fields}
    words = re.findall("[A-Za-z0-9]+", " ".join([*([head] if head else []), *(column for column, _ in held)]))
    return create_model("".join([*map(str.title, words), "Input"]), __base__=Body, __doc__="One input.", **fields)


def _by_shape(arms: list[Any]) -> Any:
    """One of the arms, by what JSON it is: an error is told of that alone, and not of every other arm too."""
    if len(arms) == 1:
        return arms[0]
    shapes = {"row": "an object", "text": "a text", "list": "a list of inputs"}
    allowed = [shapes[metadata.tag] for arm in arms for metadata in arm.__metadata__ if isinstance(metadata, Tag)]
    message = f"Input should be {' or '.join(allowed)}"
    chosen = Discriminator(_shape, custom_error_type="shape", custom_error_message=message)
    return Annotated[_one_of(arms), chosen]


def _shape(value: Any) -> str:
    if isinstance(value, str):
        return "text"
    if isinstance(value, list):
        return "list"
    return "row" if isinstance(value, dict | Body) else "neither"


def _one_of(kinds: list[Any]) -> Any:
    return Union[tuple(dict.fromkeys(kinds))]  # noqa: UP007  (of a list that is only known here)
