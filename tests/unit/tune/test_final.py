"""The document of the last run."""

from __future__ import annotations

from typing import Any

import pytest

from eagleray.errors import UserError
from eagleray.spec import document
from eagleray.spec.finetune import FineTune
from eagleray.tune import final
from tests.support import sweep_documents

TESTED = {
    "data": "{train: a.csv, test: b.csv}",
    "train": "{epochs: 2, evaluate_every_steps: 5, early_stopping: {metric: loss, mode: min}}",
    "checkpoint": "{every_steps: 5}",
}
BEST = {"train.learning_rate": 1e-4}


def _final(text: str, params: dict[str, Any] = BEST) -> FineTune:
    return final.document(sweep_documents.loaded(sections=TESTED, final=text), params)


def test_the_best_configuration_for_longer() -> None:
    spec = _final("{epochs: 7}").spec

    assert (spec.train.epochs, spec.train.learning_rate, spec.sweep) == (7, 1e-4, None)


def test_as_long_as_a_trial_where_nothing_else_is_said() -> None:
    assert _final("{with_validation: true}").spec.train.epochs == 2


def test_as_long_as_the_best_trial_where_that_was_searched() -> None:
    base = sweep_documents.loaded("train.epochs: {int_uniform: [1, 9]}", sections=TESTED, final="{}")

    assert final.document(base, {"train.epochs": 9}).spec.train.epochs == 9


@pytest.mark.parametrize(
    ("text", "max_steps"), [("{epochs: 7}", None), ("{}", 20)], ids=["epochs-take-its-place", "else-it-stays"]
)
def test_the_bound_of_a_trial_in_steps(text: str, max_steps: int | None) -> None:
    base = sweep_documents.loaded(sections={**TESTED, "train": "{max_steps: 20}"}, final=text)

    assert final.document(base, BEST).spec.train.max_steps == max_steps


def test_on_training_and_validation_rows_nothing_is_chosen_by_the_test_rows() -> None:
    spec = _final("{epochs: 7}").spec

    assert (spec.data.validation.file, spec.data.validation.fraction, spec.data.test) == ("b.csv", None, "b.csv")
    assert (spec.train.early_stopping, spec.train.evaluate_every_steps) == (None, None)
    assert spec.checkpoint.every_steps == final.ONLY_AT_END


def test_on_the_same_rows_all_else_stays() -> None:
    spec = _final("{epochs: 7, with_validation: false}").spec

    assert spec.data.validation.fraction == 0.1
    assert spec.train.early_stopping is not None
    assert (spec.train.evaluate_every_steps, spec.checkpoint.every_steps) == (5, 5)


@pytest.mark.parametrize("text", ["{epochs: 7}", "{epochs: 7, with_validation: false}"], ids=["all-rows", "same-rows"])
def test_it_is_a_document_like_any(text: str) -> None:
    found = _final(text)

    assert document.loads(document.dump(found), source="b.yaml").document == found


def test_a_document_that_does_not_say_how() -> None:
    with pytest.raises(UserError, match=r"the document has no spec\.sweep\.final: say there how the last run"):
        final.document(sweep_documents.loaded(), {})
