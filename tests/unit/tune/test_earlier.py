"""What a document does about earlier sweeps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import pytest

from eagleray.errors import UserError
from eagleray.spec.finetune import FineTune
from eagleray.store import events, runs, sweeps
from eagleray.store.events import Event
from eagleray.store.objects import Objects, open_storage
from eagleray.store.runs import RunRecord
from eagleray.train.changes import Basis
from eagleray.train.resumption import Earlier, GoOn, New
from eagleray.tune import earlier
from eagleray.tune.earlier import Finished
from tests.support import records, sweep_documents
from tests.support.sweep_documents import METHOD, RATE
from tests.support.sweep_events import begun, created, ended, reported, started

Phase = Literal["pending", "running", "succeeded", "failed", "stopped"]


def _basis(base: FineTune, *, data: str = "f") -> Basis:
    return Basis(base, data_fingerprint=data * 64, model_sha256="a" * 64)


def _there(phase: Phase = "stopped") -> Earlier:
    run = RunRecord(run="films-0001", name="films", kind=sweeps.KIND, phase=phase, started_at=records.NOW)
    return Earlier(run, _basis(sweep_documents.loaded()), None)


def test_the_first_sweep() -> None:
    assert earlier.decide(None, _basis(sweep_documents.loaded())) == New()


@pytest.mark.parametrize(
    ("wanted", "is_same"),
    [
        pytest.param(_basis(sweep_documents.loaded()), True, id="same"),
        pytest.param(_basis(sweep_documents.loaded(final="{with_validation: false}")), True, id="another-last-run"),
        pytest.param(_basis(sweep_documents.loaded(max_concurrent="2")), True, id="less-at-once"),
        pytest.param(_basis(sweep_documents.loaded(budget="{trials: 9}")), False, id="more-trials"),
        pytest.param(_basis(sweep_documents.loaded(plateau="{trials: 9}")), False, id="another-plateau"),
        pytest.param(_basis(sweep_documents.loaded(METHOD)), False, id="another-space"),
        pytest.param(_basis(sweep_documents.loaded(), data="e"), False, id="other-rows"),
    ],
)
def test_a_sweep_that_has_come_to_its_end(wanted: Basis, is_same: bool) -> None:
    there = _there("succeeded")

    assert earlier.decide(there, wanted) == (Finished(there.run) if is_same else New())


@pytest.mark.parametrize("phase", ["pending", "running", "stopped", "failed"])
def test_goes_on_with_one_that_is_not_finished(phase: Phase) -> None:
    there = _there(phase)

    assert earlier.decide(there, _basis(sweep_documents.loaded())) == GoOn(there.run, ())


@pytest.mark.parametrize(
    ("changed", "path"),
    [
        pytest.param({"budget": "{trials: 9}"}, "sweep.budget.trials", id="budget"),
        pytest.param({"plateau": "{trials: 9}"}, "sweep.plateau", id="plateau"),
        pytest.param({"max_concurrent": "2"}, "sweep.max_concurrent", id="max-concurrent"),
        pytest.param({"retries": "5"}, "sweep.retries", id="retries"),
        pytest.param({"keep": "5"}, "sweep.keep", id="keep"),
        pytest.param({"final": "{with_validation: false}"}, "sweep.final", id="final"),
    ],
)
def test_how_long_and_how_much_may_change(changed: dict[str, str], path: str) -> None:
    decision = earlier.decide(_there(), _basis(sweep_documents.loaded(**changed)))

    assert isinstance(decision, GoOn)
    assert [change.path for change in decision.changed] == [path]


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        pytest.param(
            _basis(sweep_documents.loaded(search="{type: random}")),
            'sweep.search.type: "optuna" there, "random" here',
            id="search",
        ),
        pytest.param(
            _basis(sweep_documents.loaded(scheduler="{type: asha, grace_steps: 3}")),
            "sweep.scheduler.grace_steps: null there, 3 here",
            id="scheduler",
        ),
        pytest.param(
            _basis(sweep_documents.loaded(objectives="[{metric: loss, mode: min}]")),
            "sweep.objectives",
            id="objectives",
        ),
        pytest.param(_basis(sweep_documents.loaded(METHOD)), "sweep.space", id="space"),
        pytest.param(
            _basis(sweep_documents.loaded(sections={"train": "{epochs: 9}"})),
            "train.epochs: 3 there, 9 here",
            id="train",
        ),
        pytest.param(
            _basis(sweep_documents.loaded(), data="e"), "data (fingerprint)", id="other-rows-in-the-same-files"
        ),
    ],
)
def test_refuses_to_mix_two_searches(wanted: Basis, told: str) -> None:
    with pytest.raises(UserError) as raised:
        earlier.decide(_there(), wanted)

    first, change, last = str(raised.value).splitlines()
    assert first == "sweep films-0001 (stopped) is not finished, and this document searches something else:"
    assert change.strip().startswith(told)
    assert last == "Put these back to go on with it; --new begins a new sweep"


PBT = "{type: pbt, every_steps: 10}"


@pytest.mark.parametrize(
    "space",
    [
        pytest.param("train.learning_rate: {log_uniform: [1.0e-5, 1.0e-3]}", id="rate"),
        pytest.param("train.schedule.type: {choice: [linear, cosine]}", id="schedule"),
        pytest.param("train.micro_batch_size: {choice: [2, 4]}", id="nothing-learned-changes"),
    ],
)
def test_population_based_training_changes_what_can_change_in_mid_run(space: str) -> None:
    earlier.check_schedule(sweep_documents.spec(space, scheduler=PBT))


CANNOT = (
    "population based training changes values in mid-run, and this one cannot change there: "
    "search it with another scheduler, or leave it out"
)


@pytest.mark.parametrize(
    ("space", "told"),
    [
        pytest.param("method.type: {choice: [full, lora]}", f'"method.type": {CANNOT}', id="weights"),
        pytest.param(
            "train.global_batch_size: {choice: [8, 16]}", f'"train.global_batch_size": {CANNOT}', id="position"
        ),
        pytest.param("data.max_length: {choice: [64, 128]}", f'"data.max_length": {CANNOT}', id="rows"),
        pytest.param(
            "train.schedule.type: {choice: [linear, cosine]}, "
            "train.schedule.final: {uniform: [0, 0.5], when: {train.schedule.type: cosine}}",
            '"train.schedule.final".when: population based training knows no conditions: leave it out',
            id="condition",
        ),
    ],
)
def test_population_based_training_refuses_the_rest(space: str, told: str) -> None:
    with pytest.raises(UserError) as raised:
        earlier.check_schedule(sweep_documents.spec(space, scheduler=PBT))

    assert str(raised.value) == f"spec.sweep.space.{told}"


def test_other_schedulers_take_any_key() -> None:
    earlier.check_schedule(sweep_documents.spec(METHOD))


def _new_sweep(objects: Objects, told: Sequence[Event], *, name: str = "films") -> str:
    run = records.new_run(objects, name, kind=sweeps.KIND).run
    writer = events.Writer(objects, run)
    for event in told:
        writer.append(event)
    return run


def _tried(number: int, value: float, **params: Any) -> list[Event]:
    return [created(number, params), begun(number), reported(number, 10, f1_macro=value), ended(number, 10)]


TRIED = [
    started(),
    *_tried(0, 0.3, **{"train.learning_rate": 1e-5, "train.seed": 1}),
    *_tried(1, 0.9, **{"train.learning_rate": 1e-4, "train.seed": 2}),
    *_tried(2, 0.6, **{"train.learning_rate": 0.5, "train.seed": 3}),
    created(3),
]


@pytest.mark.parametrize(
    ("warm_start", "space", "expected"),
    [
        pytest.param("", RATE, [], id="none-is-asked-for"),
        pytest.param(
            "{sweep: films}", RATE, [("films-0001, best 1", {"train.learning_rate": 1e-4})], id="the-best-by-name"
        ),
        pytest.param(
            "{sweep: films-0001, best: 9}",
            f"{RATE}, train.seed: {{int_uniform: [1, 2]}}",
            [
                ("films-0001, best 1", {"train.learning_rate": 1e-4, "train.seed": 2}),
                ("films-0001, best 3", {"train.learning_rate": 1e-5, "train.seed": 1}),
            ],
            id="what-is-outside-of-this-space-is-left-out",
        ),
        pytest.param("{sweep: films}", "train.epochs: {choice: [1, 2]}", [], id="nothing-in-common"),
    ],
)
def test_warm_points(warm_start: str, space: str, expected: list[tuple[str, dict[str, Any]]]) -> None:
    objects = open_storage("memory://")
    _new_sweep(objects, TRIED)
    spec = sweep_documents.spec(space, warm_start=warm_start)

    assert list(earlier.warm_points(objects, spec, except_run="other-0001")) == expected


def test_a_list_comes_back_from_the_log_as_the_value_it_was() -> None:
    objects = open_storage("memory://")
    modules = "method.target_modules: {choice: [[q], [q, v]]}"
    _new_sweep(objects, [started(), *_tried(0, 0.3, **{"method.target_modules": ("q", "v")})])
    base = sweep_documents.loaded(modules, sections={"method": "{type: lora}"}, warm_start="{sweep: films}")
    assert base.spec.sweep is not None

    points = list(earlier.warm_points(objects, base.spec.sweep, except_run=""))

    assert points == [("films-0001, best 1", {"method.target_modules": ("q", "v")})]


@pytest.mark.parametrize(
    ("kind", "told", "except_run", "message"),
    [
        pytest.param("FineTune", [], "", "films-0001 is no earlier sweep: `eagleray runs list` shows them", id="a-run"),
        pytest.param(
            sweeps.KIND,
            TRIED,
            "films-0001",
            "films-0001 is no earlier sweep: `eagleray runs list` shows them",
            id="itself",
        ),
        pytest.param(
            sweeps.KIND,
            [started(), created(0)],
            "",
            "no trial of films-0001 has a value of its objective",
            id="nothing-came-of-it",
        ),
    ],
)
def test_no_warm_start(kind: str, told: Sequence[Event], except_run: str, message: str) -> None:
    objects = open_storage("memory://")
    run = _new_sweep(objects, told)
    runs.save(objects, runs.read(objects, run).model_copy(update={"kind": kind}))
    spec = sweep_documents.spec(warm_start="{sweep: films}")

    with pytest.raises(UserError) as raised:
        list(earlier.warm_points(objects, spec, except_run=except_run))

    assert str(raised.value) == f"spec.sweep.warm_start.sweep: {message}"


def test_an_interrupted_sweep_of_this_name_is_not_taken_for_the_earlier_one() -> None:
    """The one before it is meant where the name is given: it has a result."""
    objects = open_storage("memory://")
    first = _new_sweep(objects, TRIED)
    _new_sweep(objects, [started()])
    runs.save(objects, runs.read(objects, first).model_copy(update={"phase": "succeeded"}))
    spec = sweep_documents.spec(warm_start="{sweep: films}")

    assert [source for source, _ in earlier.warm_points(objects, spec, except_run="films-0002")] == [
        "films-0001, best 1"
    ]
