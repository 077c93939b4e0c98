"""The document of the last run."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from eagleray.errors import UserError
from eagleray.spec import document
from eagleray.spec.finetune import FineTune
from eagleray.store import events, runs, sweeps
from eagleray.store.objects import Objects, open_storage
from eagleray.store.runs import RunRecord
from eagleray.tune import final
from tests.support import records, sweep_documents
from tests.support.sweep_events import begun, created, ended, reported, started

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


@pytest.mark.parametrize(
    ("text", "expected"),
    [("{}", (1, 0)), ("{scale: {num_workers: 2, zero: {stage: 2}}}", (2, 2))],
    ids=["as-a-trial", "with-more"],
)
def test_the_workers_of_the_last_run(text: str, expected: tuple[int, int]) -> None:
    scale = _final(text).spec.scale

    assert (scale.num_workers, scale.zero.stage) == expected


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


BASE = sweep_documents.loaded(sections=TESTED, final="{epochs: 7}")


def _swept(objects: Objects) -> RunRecord:
    """A sweep that has come to its end, and whose second trial was the best."""
    record = records.new_run(objects, BASE.metadata.name, kind=sweeps.KIND, phase="succeeded")
    writer = events.Writer(objects, record.run)
    for event in (
        started(),
        *(created(0, {"train.learning_rate": 1e-5}), begun(0), reported(0, 10, f1_macro=0.3), ended(0, 10)),
        *(created(1, BEST), begun(1), reported(1, 10, f1_macro=0.8), ended(1, 10)),
    ):
        writer.append(event)
    return record


def _train(
    objects: Objects, wanted: FineTune, *, phase: str = "succeeded", minutes: int = 1, train: str = "a.csv"
) -> None:
    """A run of a document, so long after the sweep began; `train` is where its rows were then."""
    moved = wanted.spec.data.model_copy(update={"train": train})
    wanted = wanted.model_copy(update={"spec": wanted.spec.model_copy(update={"data": moved})})
    text, now = document.dump(wanted), records.NOW + timedelta(minutes=minutes)
    record = runs.create(objects, name=wanted.metadata.name, document=text, lock=records.LOCK, now=now)
    runs.save(objects, record.model_copy(update={"phase": phase}))


def test_the_best_configuration_of_a_sweep() -> None:
    objects = open_storage("memory://")

    assert final.of_sweep(objects, BASE, _swept(objects).run) == final.document(BASE, BEST)


@pytest.mark.parametrize(
    ("params", "facts", "is_due"),
    [
        pytest.param(None, {}, True, id="none-was-begun"),
        pytest.param(BEST, {"phase": "stopped"}, True, id="interrupted"),
        pytest.param(BEST, {"phase": "running"}, True, id="killed"),
        pytest.param(BEST, {}, False, id="done"),
        pytest.param(BEST, {"train": "/job-1/a.csv"}, False, id="done-by-another-job"),
        pytest.param(BEST, {"minutes": -9}, True, id="that-of-an-earlier-sweep"),
        pytest.param({"train.learning_rate": 2e-5}, {}, True, id="another-configuration"),
    ],
)
def test_whether_it_is_still_to_be_done(params: dict[str, Any] | None, facts: dict[str, Any], is_due: bool) -> None:
    objects = open_storage("memory://")
    sweep = _swept(objects)
    if params is not None:
        _train(objects, final.document(BASE, params), **facts)

    assert final.is_due(objects, BASE, sweep) is is_due
