"""What may be sent for each task, what comes back, and what OpenAPI says of both."""

from __future__ import annotations

import json
import warnings
from typing import Any

import pytest
from fastapi import FastAPI
from pydantic import TypeAdapter, ValidationError

from eagleray.serving import protocol
from eagleray.spec.task import TaskSpec


def _task(**fields: Any) -> TaskSpec:
    return TypeAdapter[TaskSpec](TaskSpec).validate_json(json.dumps(fields))


SINGLE = _task(type="text-classification")
PAIR = _task(type="text-classification", text="premise", text_pair="hypothesis")
MULTI = _task(type="text-classification", problem="multi-label", text="review")
REGRESSION = _task(type="text-classification", problem="regression")
TEXT = _task(type="causal-lm")
COMPLETION = _task(type="causal-lm", format="completion", prompt="question")
CHAT = _task(type="causal-lm", format="chat")
SEVERAL = _task(
    type="multi-task",
    tasks=[
        {"name": "tone", "task": {"type": "text-classification"}, "data": {"train": "a"}},
        {"name": "names", "task": {"type": "token-classification"}, "data": {"train": "a"}},
    ],
)
ODD = ("a b", "_x", "copy", "model_config", "schema", "ü", "1", "x.y", "__init__", "column_0")
TURN = {"role": "user", "content": "hello"}


def _sent(body: Any, *tasks: TaskSpec) -> Any:
    named = {f"m{number}": task for number, task in enumerate(tasks)}
    return protocol.request_type(named).model_validate_json(json.dumps(body))


def _errors(body: Any, *tasks: TaskSpec) -> list[str]:
    with pytest.raises(ValidationError) as raised:
        _sent(body, *tasks)
    return [f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in raised.value.errors()]


# what goes in


@pytest.mark.parametrize(
    ("task", "row"),
    [
        pytest.param(SINGLE, {"text": "a"}, id="text"),
        pytest.param(SINGLE, {"text": ""}, id="empty-text"),
        pytest.param(PAIR, {"premise": "a", "hypothesis": "b"}, id="pair"),
        pytest.param(MULTI, {"review": "a"}, id="labels"),
        pytest.param(REGRESSION, {"text": "a"}, id="number"),
        pytest.param(TEXT, {"text": "a"}, id="language-model"),
        pytest.param(COMPLETION, {"question": "a"}, id="completion"),
        pytest.param(CHAT, {"messages": [{"role": "system", "content": "be short"}, TURN]}, id="chat"),
    ],
)
def test_rows(task: TaskSpec, row: dict[str, Any]) -> None:
    assert protocol.row_type(task).model_validate(row).model_dump(by_alias=True) == row
    assert _sent({"inputs": row}, task).inputs.model_dump(by_alias=True) == row
    assert [each.model_dump(by_alias=True) for each in _sent({"inputs": [row, row]}, task).inputs] == [row, row]


def test_rows_of_several_tasks_have_the_columns_of_their_own() -> None:
    rows = [{"task": "tone", "text": "a"}, {"task": "names", "words": ["a", "b"]}]

    assert [each.model_dump(by_alias=True) for each in _sent({"inputs": rows}, SEVERAL).inputs] == rows
    assert protocol.text_column(SEVERAL) is None
    assert _errors({"inputs": {"task": "tone", "words": ["a"]}}, SEVERAL)
    assert _errors({"inputs": {"task": "mood", "text": "a"}}, SEVERAL)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("column", ODD)
def test_columns_may_be_called_what_no_attribute_can(column: str) -> None:
    for task in (_task(type="text-classification", text=column), _task(type="causal-lm", text=column)):
        kind = protocol.row_type(task)
        assert kind.model_validate({column: "a"}).model_dump(by_alias=True) == {column: "a"}
        assert list(kind.model_json_schema()["properties"]) == [column]
        assert _sent({"inputs": "a"}, task).inputs == "a"
        with pytest.raises(ValidationError):
            kind.model_validate({"column_00": "a"})
    pair = _task(type="text-classification", text=column, text_pair="other")
    row = {column: "a", "other": "b"}
    assert protocol.row_type(pair).model_validate(row).model_dump(by_alias=True) == row


@pytest.mark.parametrize(
    ("task", "column", "held"),
    [
        pytest.param(SINGLE, "text", {"text": "text"}, id="text"),
        pytest.param(PAIR, None, {"premise": "text", "hypothesis": "text"}, id="pair"),
        pytest.param(MULTI, "review", {"review": "text"}, id="labels"),
        pytest.param(TEXT, "text", {"text": "text"}, id="language-model"),
        pytest.param(COMPLETION, "question", {"question": "text"}, id="completion"),
        pytest.param(CHAT, None, {"messages": "messages"}, id="chat"),
    ],
)
def test_a_bare_text_stands_for_the_only_column(task: TaskSpec, column: str | None, held: dict[str, str]) -> None:
    assert task.inputs == held
    assert protocol.text_column(task) == column
    if column is not None:
        assert _sent({"inputs": "a"}, task).inputs == "a"
        assert _sent({"inputs": ["a", "b"]}, task).inputs == ["a", "b"]


def test_what_is_left_out() -> None:
    assert _sent({"inputs": "a"}, SINGLE).model_dump() == {"inputs": "a", "model": None, "truncate": None}


def test_texts_and_rows_may_be_mixed() -> None:
    first, second = _sent({"inputs": ["a", {"text": "b"}]}, SINGLE).inputs
    assert (first, second.model_dump(by_alias=True)) == ("a", {"text": "b"})


def test_each_model_has_its_own_rows() -> None:
    body = _sent({"inputs": [{"premise": "a", "hypothesis": "b"}, {"text": "a"}, "a"]}, PAIR, SINGLE)
    assert [each if isinstance(each, str) else each.model_dump(by_alias=True) for each in body.inputs] == [
        {"premise": "a", "hypothesis": "b"},
        {"text": "a"},
        "a",
    ]


# what is refused


@pytest.mark.parametrize(
    ("body", "errors"),
    [
        pytest.param({}, ["inputs: Field required"], id="nothing"),
        pytest.param({"inputs": 3}, ["inputs: Input should be an object or a text or a list of inputs"], id="neither"),
        pytest.param({"inputs": [3]}, ["inputs.list.0: Input should be an object or a text"], id="neither-in-a-list"),
        pytest.param({"inputs": [["a"]]}, ["inputs.list.0: Input should be an object or a text"], id="list-in-a-list"),
        pytest.param({"inputs": None}, ["inputs: Input should be an object or a text or a list of inputs"], id="null"),
        pytest.param(
            {"inputs": []}, ["inputs.list: List should have at least 1 item after validation, not 0"], id="empty"
        ),
        pytest.param(
            {"inputs": {"tetx": "a"}},
            ["inputs.row.text: Field required", "inputs.row.tetx: Extra inputs are not permitted"],
            id="misspelled-column",
        ),
        pytest.param(
            {"inputs": ["a", {"text": 1}]},
            ["inputs.list.1.row.text: Input should be a valid string"],
            id="another-type",
        ),
        pytest.param(
            {"inputs": {"text": "a", "label": "x"}}, ["inputs.row.label: Extra inputs are not permitted"], id="label"
        ),
        pytest.param(
            {"inputs": "a", "truncat": True}, ["truncat: Extra inputs are not permitted"], id="misspelled-option"
        ),
        pytest.param({"inputs": "a", "model": 3}, ["model: Input should be a valid string"], id="model"),
    ],
)
def test_each_mistake_is_told_once(body: Any, errors: list[str]) -> None:
    assert _errors(body, SINGLE) == errors


@pytest.mark.parametrize("task", [PAIR, CHAT], ids=["pair", "chat"])
def test_a_bare_text_is_no_pair_and_no_conversation(task: TaskSpec) -> None:
    assert _errors({"inputs": "a"}, task) == ["inputs: Input should be an object or a list of inputs"]
    assert len(_errors({"inputs": ["a"]}, task)) == 1


@pytest.mark.parametrize(
    "messages",
    [
        pytest.param([], id="none"),
        pytest.param("hello", id="text"),
        pytest.param([{"role": "user"}], id="no-content"),
        pytest.param([{"role": "tool", "content": "a"}], id="unknown-role"),
        pytest.param([{**TURN, "name": "me"}], id="unknown-key"),
    ],
)
def test_no_conversation(messages: Any) -> None:
    assert len(_errors({"inputs": {"messages": messages}}, CHAT)) == 1


# what comes out


@pytest.mark.parametrize(
    ("task", "answer"),
    [
        pytest.param(SINGLE, {"label": "x", "probabilities": {"x": 0.75, "y": 0.25}}, id="label"),
        pytest.param(MULTI, {"labels": ["x"], "probabilities": {"x": 0.75, "y": 0.25}}, id="labels"),
        pytest.param(MULTI, {"labels": [], "probabilities": {"x": 0.0}}, id="no-labels"),
        pytest.param(REGRESSION, {"value": 0.5}, id="number"),
        pytest.param(TEXT, {"text": "b"}, id="text"),
        pytest.param(CHAT, {"text": "b"}, id="chat"),
    ],
)
def test_answers(task: TaskSpec, answer: dict[str, Any]) -> None:
    body = {"model": "m", "version": 3, "outputs": [answer, answer]}

    assert protocol.answer_type(task).model_validate_json(json.dumps(answer)).model_dump(mode="json") == answer
    told = protocol.response_type({"m": task, "other": PAIR}).model_validate_json(json.dumps(body))
    assert told.model_dump(mode="json") == body


# OpenAPI

ENDPOINTS = {
    "text": {"m": SINGLE},
    "pair": {"m": PAIR},
    "chat": {"m": CHAT},
    "odd": {str(number): _task(type="text-classification", text=column) for number, column in enumerate(ODD)},
    "same-columns": {"m": SINGLE, "n": REGRESSION, "o": TEXT},
    "all": dict(zip("abcdefg", (SINGLE, PAIR, MULTI, REGRESSION, TEXT, COMPLETION, CHAT), strict=True)),
}


def _openapi(tasks: dict[str, TaskSpec]) -> dict[str, Any]:
    app = FastAPI(title="test", version="1")
    body, first = protocol.request_type(tasks), protocol.row_type(next(iter(tasks.values())))

    async def predict(body: Any) -> None: ...
    async def predict_one(body: Any) -> None: ...

    predict.__annotations__["body"], predict_one.__annotations__["body"] = body, first
    app.post("/v1/predict", response_model=protocol.response_type(tasks))(predict)
    app.post("/predict")(predict_one)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return app.openapi()


@pytest.mark.parametrize("tasks", ENDPOINTS.values(), ids=ENDPOINTS)
def test_openapi(tasks: dict[str, TaskSpec]) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    schemas = _openapi(tasks)["components"]["schemas"]

    assert "PredictRequest" in schemas
    assert [name for name in schemas if "__" in name] == []  # the path of a module, where two types have one name
    assert [schema for schema in schemas.values() if "eagleray" in json.dumps(schema)] == []
    resolved = json.loads(json.dumps(schemas).replace("#/components/schemas/", "#/$defs/"))
    whole = {"$defs": resolved, "$ref": "#/$defs/PredictRequest"}
    jsonschema.Draft202012Validator.check_schema(whole)
    for body in (
        {"inputs": "a"},
        {"inputs": ["a"]},
        {"inputs": {"text": "a"}},
        {"inputs": []},
        {"inputs": "a", "x": 1},
    ):
        agreed = jsonschema.Draft202012Validator(whole).is_valid(body)
        assert agreed == _is_taken(body, tasks), body


def _is_taken(body: Any, tasks: dict[str, TaskSpec]) -> bool:
    try:
        protocol.request_type(tasks).model_validate_json(json.dumps(body))
    except ValidationError:
        return False
    return True
