"""A configuration laid over a document: what changes, what stays, and what cannot be."""

from __future__ import annotations

from typing import Any

import pytest

from eagleray.errors import DocumentError
from eagleray.spec import document, space
from eagleray.spec.dimension import DimensionSpec
from eagleray.spec.finetune import FineTune
from tests.support import documents, sweep_documents

LORA = {
    "type": "lora",
    "rank": 8,
    "alpha": 16.0,
    "dropout": 0.0,
    "rank_stabilized": False,
    "decomposed": False,
    "target_modules": (),
}
LINEAR = {"type": "linear", "warmup": 0.0, "warmup_steps": 0}


def _document(**sections: str) -> FineTune:
    return document.loads(documents.text(**sections), source="a.yaml").document


def _value(applied: FineTune, path: str) -> Any:
    value: Any = applied.spec.model_dump()
    for key in path.split("."):
        value = value[key]
    return value


@pytest.mark.parametrize(
    ("sections", "params", "place", "expected"),
    [
        pytest.param({}, {"train.learning_rate": 0.1}, "train.learning_rate", 0.1, id="leaf"),
        pytest.param({}, {"train.learning_rate": 0.1}, "train.epochs", 3, id="defaults-stay"),
        pytest.param(
            {"train": "{epochs: 9}"}, {"train.learning_rate": 0.1}, "train.epochs", 9, id="rest-of-a-section-stays"
        ),
        pytest.param({}, {"method.type": "lora"}, "method", LORA, id="type-of-an-absent-section"),
        pytest.param(
            {}, {"method.type": "lora", "method.rank": 2}, "method", {**LORA, "rank": 2}, id="type-with-its-key"
        ),
        pytest.param(
            {}, {"method.rank": 2, "method.type": "lora"}, "method", {**LORA, "rank": 2}, id="key-before-its-type"
        ),
        pytest.param(
            {"method": "{type: lora, alpha: 3}"},
            {"method.rank": 2},
            "method",
            {**LORA, "rank": 2, "alpha": 3.0},
            id="key-of-the-type-there-is",
        ),
        pytest.param(
            {"method": "{type: lora, alpha: 3}"}, {"method.type": "full"}, "method", {"type": "full"}, id="nothing-left"
        ),
        pytest.param(
            {"method": "{type: lora, alpha: 3}"},
            {"method.type": "lora"},
            "method",
            {**LORA, "alpha": 3.0},
            id="same-type-keeps-what-there-is",
        ),
        pytest.param(
            {"train": "{schedule: {type: linear, warmup: 0.3}}"},
            {"train.schedule.type": "cosine", "train.schedule.final": 0.1},
            "train.schedule",
            {**LINEAR, "type": "cosine", "warmup": 0.3, "final": 0.1},
            id="what-both-types-know-stays",
        ),
        pytest.param(
            {"train": "{schedule: {type: cosine, final: 0.3}}"},
            {"train.schedule.type": "linear"},
            "train.schedule",
            LINEAR,
            id="what-the-new-type-does-not-know-goes",
        ),
        pytest.param(
            {},
            {"train.schedule.warmup": 0.2},
            "train.schedule",
            {**LINEAR, "warmup": 0.2},
            id="key-of-a-choice-left-to-its-default",
        ),
        pytest.param(
            {},
            {"method.target_modules": ("q", "v"), "method.type": "lora"},
            "method.target_modules",
            ("q", "v"),
            id="tuple",
        ),
        pytest.param(
            {},
            {"method.target_modules": ["q"], "method.type": "lora"},
            "method.target_modules",
            ("q",),
            id="list-as-it-comes-from-the-log",
        ),
        pytest.param({}, {'data.keep."a.b"': ("x",)}, "data.keep", {"a.b": ("x",)}, id="quoted-key"),
        pytest.param(
            {"train": "{gradient_clip: null}"}, {"train.gradient_clip": 2}, "train.gradient_clip", 2.0, id="over-null"
        ),
        pytest.param({}, {}, "method", {"type": "full"}, id="nothing"),
    ],
)
def test_apply(sections: dict[str, str], params: dict[str, Any], place: str, expected: Any) -> None:
    assert _value(space.apply(_document(**sections), params), place) == expected


def test_the_document_stays_as_it_was_and_the_new_one_has_no_sweep() -> None:
    base = sweep_documents.loaded()
    before = base.model_dump()

    applied = space.apply(base, {"train.learning_rate": 0.1})

    assert (base.model_dump(), applied.spec.sweep) == (before, None)


def test_what_is_applied_is_a_document_like_any() -> None:
    applied = space.apply(sweep_documents.loaded(sweep_documents.METHOD), {"method.type": "lora", "method.rank": 4})

    assert document.loads(document.dump(applied), source="b.yaml").document == applied


@pytest.mark.parametrize(
    ("sections", "params", "findings"),
    [
        pytest.param(
            {},
            {"train.epochs": 1.5},
            ["sweep: spec.train.epochs: expected a whole number of at least 1, got the number 1.5"],
            id="value",
        ),
        pytest.param(
            {},
            {"train.schedule.warmup": 0.1, "train.schedule.warmup_steps": 3},
            [
                "sweep: spec.train.schedule.warmup_steps: `warmup` (a fraction) and `warmup_steps` exclude each "
                "other: keep the one you mean"
            ],
            id="values-together",
        ),
        pytest.param(
            {},
            {"train.epochs": float("nan")},
            ["sweep: spec.train.epochs: expected a whole number of at least 1, got the number nan"],
            id="not-a-number",
        ),
        pytest.param(
            {"train": "{epochs: 3}"},
            {"train.epochs.x": 1},
            ["spec.train.epochs: has a value in the document, and no keys"],
            id="below-a-number",
        ),
        pytest.param(
            {"task": "{type: text-classification, labels: [a, b]}"},
            {"task.labels.type": "x"},
            ["spec.task.labels: has a value in the document, and no keys"],
            id="type-of-a-list",
        ),
    ],
)
def test_refused(sections: dict[str, str], params: dict[str, Any], findings: list[str]) -> None:
    with pytest.raises(DocumentError) as raised:
        space.apply(_document(**sections), params)

    assert [str(finding) for finding in raised.value.findings] == findings


def _dimension(**given: Any) -> DimensionSpec:
    return DimensionSpec(**given)


@pytest.mark.parametrize(
    ("dimension", "value", "expected"),
    [
        pytest.param(_dimension(uniform=(0.0, 1.0)), 0.0, True, id="low-end"),
        pytest.param(_dimension(uniform=(0.0, 1.0)), 1, True, id="high-end-as-a-whole-number"),
        pytest.param(_dimension(uniform=(0.0, 1.0)), 1.1, False, id="above"),
        pytest.param(_dimension(uniform=(0.0, 1.0)), True, False, id="a-truth-is-no-number"),
        pytest.param(_dimension(uniform=(0.0, 1.0)), "0.5", False, id="text"),
        pytest.param(_dimension(log_uniform=(1e-5, 1e-3)), 1e-4, True, id="log"),
        pytest.param(_dimension(int_uniform=(1, 9)), 9, True, id="whole"),
        pytest.param(_dimension(int_uniform=(1, 9)), 2.0, False, id="fraction-where-whole"),
        pytest.param(_dimension(quantized=(0.1, 0.5, 0.1)), 0.3, True, id="step"),
        pytest.param(_dimension(quantized=(0.1, 0.5, 0.1)), 0.35, False, id="between-steps"),
        pytest.param(_dimension(choice=(1, 2)), True, False, id="true-is-no-1"),
        pytest.param(_dimension(choice=(True, False)), 1, False, id="1-is-no-true"),
        pytest.param(_dimension(choice=("a", ("a",))), ("a",), True, id="list"),
        pytest.param(_dimension(grid=("a", "b")), "c", False, id="grid"),
    ],
)
def test_holds(dimension: DimensionSpec, value: Any, expected: bool) -> None:
    assert space.holds(dimension, value) is expected


@pytest.mark.parametrize(
    ("bounds", "expected"),
    [
        pytest.param((1, 3, 1), [1, 2, 3], id="whole-numbers"),
        pytest.param((0.1, 0.5, 0.1), [0.1, 0.2, 0.3, 0.4, 0.5], id="no-dust-of-binary-fractions"),
        pytest.param((0, 1, 0.3), [0, 0.3, 0.6, 0.9], id="high-is-no-step"),
        pytest.param((-1, 1, 0.5), [-1, -0.5, 0, 0.5, 1], id="below-zero"),
        pytest.param((1e-5, 3e-5, 1e-5), [1e-5, 2e-5, 3e-5], id="small"),
    ],
)
def test_stepped(bounds: tuple[float, float, float], expected: list[float]) -> None:
    found = space.stepped(*bounds)

    assert [(value, type(value)) for value in found] == [(value, type(value)) for value in expected]
