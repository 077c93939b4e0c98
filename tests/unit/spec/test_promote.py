"""Which gates and aliases a document may ask for."""

from __future__ import annotations

import pytest

from eagleray.errors import DocumentError
from eagleray.spec import document
from eagleray.spec.promote import GateSpec, PromoteSpec
from tests.support import documents


def _promote(text: str) -> PromoteSpec | None:
    return document.loads(documents.text(promote=text), source="a.yaml").document.spec.promote


def _findings(text: str) -> list[str]:
    with pytest.raises(DocumentError) as raised:
        document.loads(documents.text(promote=text), source="a.yaml")
    return [str(finding) for finding in raised.value.findings]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("", None, id="nobody-asks"),
        pytest.param("{}", PromoteSpec(alias="champion", when=None), id="left-out"),
        pytest.param("{alias: v2}", PromoteSpec(alias="v2"), id="digits-in-a-word"),
        pytest.param(
            "{alias: best, when: {metric: accuracy, at_least: 0.8, better_by: 0.01}}",
            PromoteSpec(alias="best", when=GateSpec(metric="accuracy", at_least=0.8, better_by=0.01)),
            id="gate",
        ),
        pytest.param(
            "{when: {metric: loss, mode: min, at_most: 0.5}}",
            PromoteSpec(when=GateSpec(metric="loss", mode="min", at_most=0.5)),
            id="less-is-more",
        ),
        pytest.param(
            "{when: {metric: accuracy, better_by: 0}}",
            PromoteSpec(when=GateSpec(metric="accuracy", better_by=0.0)),
            id="no-worse",
        ),
    ],
)
def test_values(text: str, expected: PromoteSpec | None) -> None:
    assert _promote(text) == expected


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        pytest.param(
            "{alias: '3'}", "alias: `3` would be taken for version 3: use a word, as `champion`", id="version-as-alias"
        ),
        pytest.param(
            "{alias: '007'}",
            "alias: `007` would be taken for version 007: use a word, as `champion`",
            id="digits-as-alias",
        ),
        pytest.param(
            "{alias: Champion}",
            'alias: expected a name of at most 40 lower-case letters, digits and "-" that begins and ends with a '
            'letter or digit, got the string "Champion"',
            id="no-name",
        ),
        pytest.param(
            "{when: {metric: accuracy}}",
            "when: asks for nothing: give `at_least`, `better_by` or both",
            id="asks-for-nothing",
        ),
        pytest.param(
            "{when: {metric: loss, mode: min}}",
            "when: asks for nothing: give `at_most`, `better_by` or both",
            id="asks-for-nothing-of-less",
        ),
        pytest.param(
            "{when: {metric: accuracy, at_most: 0.9}}",
            "when.at_most: has no meaning with `mode: max`: use `at_least`",
            id="at-most-of-more",
        ),
        pytest.param(
            "{when: {metric: loss, mode: min, at_least: 0.9, at_most: 1}}",
            "when.at_least: has no meaning with `mode: min`: use `at_most`",
            id="at-least-of-less",
        ),
        pytest.param(
            "{when: {metric: accuracy, better_by: -0.1}}",
            "when.better_by: expected a number of at least 0, or null, got the number -0.1",
            id="better-by-less-than-nothing",
        ),
        pytest.param(
            "{when: {metric: accuracy, atleast: 0.9}}",
            'when.atleast: unknown key, did you mean "at_least"? '
            "Allowed here: metric, mode, at_least, at_most, better_by",
            id="unknown-key",
        ),
    ],
)
def test_findings(text: str, finding: str) -> None:
    assert _findings(text) == [f"a.yaml:8: spec.promote.{finding}"]


def test_a_metric_that_the_task_does_not_report() -> None:
    (found,) = _findings("{when: {metric: acuracy, at_least: 0.9}}")

    assert found.startswith(
        "a.yaml:8: spec.promote.when.metric: `acuracy` is not reported by this task, which reports "
    )
    assert found.endswith("; did you mean `accuracy`?")
