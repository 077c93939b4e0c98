"""Which versions may take over an alias."""

from __future__ import annotations

from typing import Any

import pytest

from eagleray.errors import UserError
from eagleray.spec.promote import GateSpec
from eagleray.store import gate
from tests.support.versions import version_record

ROWS = {"test": "rows-1", "validation": "rows-2"}


def _objections(
    candidate: dict[str, Any],
    current: dict[str, Any] | None,
    when: dict[str, Any],
    rows: dict[str, str] | None = None,
) -> list[str]:
    """Metrics in, objections out."""
    return gate.objections(
        version_record(version=3, metrics=candidate, evaluated_on=ROWS),
        None
        if current is None
        else version_record(version=2, metrics=current, evaluated_on=ROWS if rows is None else rows),
        GateSpec(metric="f1", **when),
    )


@pytest.mark.parametrize(
    ("metrics", "when", "expected"),
    [
        pytest.param({"test": {"f1": 0.9}}, {"at_least": 0.9}, [], id="just-enough"),
        pytest.param(
            {"test": {"f1": 0.89}},
            {"at_least": 0.9},
            ["f1 on test is 0.89, asked for is at least 0.9"],
            id="too-little",
        ),
        pytest.param({"test": {"f1": 2}}, {"mode": "min", "at_most": 2}, [], id="an-integer-at-most"),
        pytest.param(
            {"test": {"f1": 2.1}},
            {"mode": "min", "at_most": 2},
            ["f1 on test is 2.1, asked for is at most 2"],
            id="too-much",
        ),
        pytest.param(
            {"test": {"f1": 0.5}, "validation": {"f1": 1.0}},
            {"at_least": 0.9},
            ["f1 on test is 0.5, asked for is at least 0.9"],
            id="test-counts",
        ),
        pytest.param({"validation": {"f1": 1.0}}, {"at_least": 0.9}, [], id="validation-where-there-is-no-test"),
        pytest.param(
            {"test": {"accuracy": 0.5, "loss": 0.1, "confusion": [[1]]}},
            {"at_least": 0.9},
            ["version 3 has no f1 on test: it has accuracy, loss"],
            id="no-such-metric",
        ),
        pytest.param(
            {"test": {"f1": None, "loss": 0.1}},
            {"at_least": 0.9},
            ["version 3 has no f1 on test: it has loss"],
            id="not-finite",
        ),
        pytest.param({}, {"at_least": 0}, ["version 3 has no f1 on validation: it was not evaluated"], id="no-metrics"),
        pytest.param({"test": {"f1": 0.1}}, {"better_by": 0.1}, [], id="nothing-to-be-better-than"),
    ],
)
def test_a_version_alone(metrics: dict[str, Any], when: dict[str, Any], expected: list[str]) -> None:
    assert _objections(metrics, None, when) == expected


@pytest.mark.parametrize(
    ("candidate", "current", "when", "expected"),
    [
        pytest.param(0.83, 0.82, {"better_by": 0.01}, [], id="by-as-much-as-asked-for"),
        pytest.param(0.8, 0.8, {"better_by": 0.0}, [], id="no-worse"),
        pytest.param(
            0.825,
            0.82,
            {"better_by": 0.01},
            ["f1 on test is 0.825, that of version 2 is 0.82, asked for is better by 0.01"],
            id="by-too-little",
        ),
        pytest.param(0.1, 0.3, {"mode": "min", "better_by": 0.2}, [], id="less-is-better"),
        pytest.param(
            0.3,
            0.1,
            {"mode": "min", "better_by": 0.0},
            ["f1 on test is 0.3, that of version 2 is 0.1, asked for is better by 0"],
            id="more-is-worse",
        ),
        pytest.param(0.1, 0.9, {"at_least": 0.1}, [], id="worse-and-nobody-minds"),
        pytest.param(
            0.5,
            0.6,
            {"at_least": 0.9, "better_by": 0.1},
            [
                "f1 on test is 0.5, asked for is at least 0.9",
                "f1 on test is 0.5, that of version 2 is 0.6, asked for is better by 0.1",
            ],
            id="both",
        ),
        pytest.param(
            0.5, None, {"better_by": 0.1}, ["version 2 has no f1 on test to be compared with"], id="no-metric"
        ),
    ],
)
def test_against_the_version_that_has_the_alias(
    candidate: float, current: float | None, when: dict[str, Any], expected: list[str]
) -> None:
    assert _objections({"test": {"f1": candidate}}, {"test": {"f1": current}}, when) == expected


@pytest.mark.parametrize("rows", [{"test": "others", "validation": "rows-2"}, {}], ids=["other-rows", "unknown-rows"])
def test_only_the_same_rows_are_compared(rows: dict[str, str]) -> None:
    (objection,) = _objections({"test": {"f1": 0.9}}, {"test": {"f1": 0.1}}, {"better_by": 0.1}, rows)

    assert objection.startswith("versions 3 and 2 were not evaluated on the same test rows")
    assert _objections({"test": {"f1": 0.9}}, {"test": {"f1": 0.1}}, {"at_least": 0.1}, rows) == []


def test_rows_of_which_nothing_is_known_are_not_the_same() -> None:
    nothing = version_record(metrics={"test": {"f1": 0.5}})

    assert len(gate.objections(nothing, nothing, GateSpec(metric="f1", better_by=0))) == 1


@pytest.mark.parametrize(
    "document",
    [{}, {"spec": {}}, {"spec": {"promote": None}}, {"spec": {"promote": {"alias": "a", "when": None}}}],
    ids=repr,
)
def test_a_document_without_a_gate(document: dict[str, Any]) -> None:
    assert gate.of_document(document) is None


def test_the_gate_of_a_document() -> None:
    when = {"metric": "f1", "mode": "max", "at_least": 1, "at_most": None, "better_by": None}

    assert gate.of_document({"spec": {"promote": {"when": when}}}) == GateSpec(metric="f1", at_least=1)


@pytest.mark.parametrize(
    ("when", "told"),
    [({"metric": "f1"}, "asks for nothing"), ({"metric": "f1", "at_leats": 1}, "at_leats: Extra inputs")],
    ids=["empty", "unknown-key"],
)
def test_a_gate_that_is_none(when: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError, match=rf"spec.promote.when of its document is no gate .*{told}"):
        gate.of_document({"spec": {"promote": {"when": when}}})
