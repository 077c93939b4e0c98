"""Each kind of failure has its own budget; what a document leaves out of one stays as it was."""

from __future__ import annotations

import pytest

from eagleray.spec import document
from eagleray.spec.failures import FailuresSpec
from tests.support import documents


def _failures(failures: str = "{}", *overrides: str) -> FailuresSpec:
    text = documents.text(failures=failures)
    return document.loads(text, source="a.yaml", overrides=overrides).document.spec.failures


@pytest.mark.parametrize(
    ("kind", "retries", "backoff_s"),
    [
        ("infrastructure", 5, 5.0),
        ("preemption", 100, 0.0),
        ("out_of_memory", 5, 0.0),
        ("hang", 3, 5.0),
        ("numerical", 0, 0.0),
        ("data", 0, 0.0),
        ("fault", 0, 0.0),
    ],
)
def test_budgets_left_out(kind: str, retries: int, backoff_s: float) -> None:
    budget = getattr(_failures(), kind)

    assert (budget.retries, budget.backoff_s) == (retries, backoff_s)


@pytest.mark.parametrize(
    ("failures", "override"),
    [
        pytest.param("{hang: {retries: 9}}", "train.seed=1", id="document"),
        pytest.param("{}", "failures.hang.retries=9", id="override"),
    ],
)
def test_one_key_of_a_budget_leaves_the_other(failures: str, override: str) -> None:
    budget = _failures(failures, override).hang

    assert (budget.retries, budget.backoff_s) == (9, 5.0)
