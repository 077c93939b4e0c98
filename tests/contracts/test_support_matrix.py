"""The matrix of tasks, methods and ZeRO stages leaves none out, and its page says what the code does."""

from __future__ import annotations

from eagleray.methods import METHODS
from eagleray.report.diagnosis import rate
from eagleray.tasks import TASKS
from tests.support import matrix_sources, support_matrix


def test_every_task_and_method_is_in_the_matrix() -> None:
    assert {variant["type"] for variant in support_matrix.VARIANTS.values()} == METHODS.keys()
    assert matrix_sources.TASKS.keys() == TASKS.keys()


def test_every_method_has_a_usual_rate() -> None:
    assert rate.USUAL.keys() == rate.HIGH.keys() == METHODS.keys()


def test_page_says_what_is_refused() -> None:
    """`python -m tests.support.support_matrix` writes it anew."""
    assert support_matrix.PAGE.read_text(encoding="utf-8") == support_matrix.page()
