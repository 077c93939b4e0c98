"""The table of a sweep's trials, and the lines below it."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from eagleray.cli import sweep_tables
from eagleray.spec.sweep import ObjectiveSpec
from eagleray.store import ranking
from eagleray.store.runs import RunRecord
from eagleray.store.sweeps import Life, Report, State, Sweep, Trial
from tests.support.records import NOW

F1 = ObjectiveSpec(metric="f1_macro", mode="max")


def _trial(
    number: int,
    value: float | None = None,
    *,
    state: State = "finished",
    step: int = 90,
    seconds: float = 90.0,
    first_step: int = 0,
    params: dict[str, Any] | None = None,
    error: str = "",
) -> Trial:
    reports = () if value is None else (Report(step, metrics={"f1_macro": value}, seconds=seconds),)
    lives = () if value is None else (Life(f"trial-{number}-0001", first_step=first_step, step=step, seconds=seconds),)
    given = {"train.learning_rate": 0.0001} if params is None else params
    return Trial(number, params=given, state=state, reports=reports, lives=lives, error=error)


def _sweep(*trials: Trial, **facts: Any) -> Sweep:
    return Sweep(trials=trials, total_steps=90, objectives=(F1,), **facts)


def _rows(sweep: Sweep, *, going: tuple[int, ...] = (), shown: int = 20) -> list[list[str]]:
    """The cells of the table, row by row."""
    ordered = ranking.ranked(sweep.trials, objectives=sweep.objectives) if sweep.objectives else []
    table = sweep_tables.trials_table(sweep, ordered, going=frozenset(going), shown=shown)
    return [list(map(str, row)) for row in zip(*(column.cells for column in table.columns), strict=True)]


def _written(sweep: Sweep, *, width: int = 100) -> list[str]:
    stream = io.StringIO()
    ordered = ranking.ranked(sweep.trials, objectives=sweep.objectives)
    Console(file=stream, width=width, color_system=None, legacy_windows=False, _environ={}).print(
        sweep_tables.trials_table(sweep, ordered, going=frozenset())
    )
    return [line.rstrip() for line in stream.getvalue().splitlines()]


@pytest.mark.parametrize(
    ("trial", "is_going", "row"),
    [
        pytest.param(
            _trial(0, 0.87654),
            False,
            ["0", "learning_rate=0.0001", "0.8765", "90/90", "finished, best", "", ""],
            id="finished",
        ),
        pytest.param(
            _trial(0, 0.5, state="pruned", step=10),
            False,
            ["0", "learning_rate=0.0001", "0.5", "10/90", "pruned, best", "", ""],
            id="pruned-and-the-best-nevertheless",
        ),
        pytest.param(
            _trial(0, 0.5, state="running", step=10, seconds=10.0),
            True,
            ["0", "learning_rate=0.0001", "0.5", "10/90", "running, best", "2 GPU", "80 s"],
            id="running",
        ),
        pytest.param(
            _trial(0, 0.5, state="running", step=60, first_step=50, seconds=100.0),
            True,
            ["0", "learning_rate=0.0001", "0.5", "60/90", "running, best", "2 GPU", "5 min"],
            id="time-left-by-the-speed-of-this-life",
        ),
        pytest.param(
            _trial(0, state="running"),
            True,
            ["0", "learning_rate=0.0001", "", "0/90", "running", "2 GPU", ""],
            id="just-begun",
        ),
        pytest.param(
            _trial(0, 0.5, state="running", step=10),
            False,
            ["0", "learning_rate=0.0001", "0.5", "10/90", "waiting, best", "", ""],
            id="waiting-to-go-on",
        ),
        pytest.param(
            _trial(0, state="unfit", error="out of memory"),
            False,
            ["0", "learning_rate=0.0001", "", "0/90", "unfit", "", ""],
            id="unfit",
        ),
    ],
)
def test_row(trial: Trial, is_going: bool, row: list[str]) -> None:
    sweep = _sweep(trial, num_devices=2.0, device="GPU")

    assert _rows(sweep, going=(0,) if is_going else ()) == [row]


def test_those_that_go_on_come_first_then_the_best_then_the_rest() -> None:
    sweep = _sweep(
        _trial(0, 0.1),
        _trial(1, state="failed"),
        _trial(2, 0.9),
        _trial(3, 0.2, state="running", step=10),
        _trial(4, state="unfit"),
    )

    assert [row[0] for row in _rows(sweep, going=(3,))] == ["3", "2", "0", "1", "4"]


def test_as_many_rows_as_there_is_room_for() -> None:
    sweep = _sweep(*(_trial(number, number / 100) for number in range(30)))

    assert [row[0] for row in _rows(sweep, shown=3)] == ["29", "28", "27"]


@pytest.mark.parametrize(
    ("params", "text"),
    [
        pytest.param({}, "", id="none"),
        pytest.param(
            {"train.learning_rate": 0.000123456, "method.rank": 8}, "learning_rate=0.0001235 rank=8", id="last-parts"
        ),
        pytest.param(
            {"method.type": "lora", "train.schedule.type": "cosine", "method.rank": 8},
            "method.type=lora train.schedule.type=cosine rank=8",
            id="whole-keys-where-last-parts-are-the-same",
        ),
        pytest.param({"train.gradient_checkpointing": True}, "gradient_checkpointing=true", id="truth"),
        pytest.param({"method.target_modules": ("q", "v")}, "target_modules=[q, v]", id="list"),
        pytest.param({'data.keep."a.b"': ("x",)}, 'data.keep."a.b"=[x]', id="quoted-key"),
        pytest.param({"storage": "a [bold]b"}, "storage=a [bold]b", id="no-markup"),
    ],
)
def test_params_text(params: dict[str, Any], text: str) -> None:
    assert sweep_tables.params_text(params) == text


def test_a_table_as_it_is_written() -> None:
    sweep = _sweep(_trial(0, 0.5), _trial(1, 0.75, params={"storage": "[red]x[/red]"}))

    assert _written(sweep) == [
        "trial  parameters            f1_macro   step  state           takes  left",
        "    1  storage=[red]x[/red]      0.75  90/90  finished, best",
        "    0  learning_rate=0.0001       0.5  90/90  finished",
    ]


def test_a_narrow_terminal_folds_the_parameters_only() -> None:
    params = {"train.learning_rate": 0.0001, "train.weight_decay": 0.25, "method.type": "lora"}

    lines = _written(_sweep(_trial(0, 0.5, params=params)), width=60)

    assert all(len(line) <= 60 for line in lines)
    assert len(lines) > 2
    assert "finished, best" in lines[1]


def test_a_sweep_of_nothing_yet() -> None:
    assert _rows(Sweep()) == []


RECORD = RunRecord(run="films-0001", name="films", phase="running", started_at=NOW)


@pytest.mark.parametrize(
    ("sweep", "changes", "lines"),
    [
        pytest.param(
            _sweep(_trial(0, 0.5), _trial(1, 0.5, state="pruned", step=10, seconds=10.0), num_devices=36.0),
            {},
            [
                "films-0001 (running): 2 trials: 1 finished, 1 pruned",
                "100 steps, 56% of what all trials to their end take; 1 CPU-hours",
            ],
            id="under-way",
        ),
        pytest.param(Sweep(), {}, ["films-0001 (running): 0 trials: none", "0 steps; 0 CPU-hours"], id="nothing-yet"),
        pytest.param(
            _sweep(end_reason="budget.trials (0) are tried"),
            {"phase": "failed", "error": "no trial has a checkpoint"},
            [
                "films-0001 (failed): 0 trials: none",
                "0 steps; 0 CPU-hours",
                "ended: budget.trials (0) are tried",
                "error: no trial has a checkpoint",
            ],
            id="ended-in-an-error",
        ),
        pytest.param(
            _sweep(*(_trial(number) for number in range(21))),
            {},
            [
                "films-0001 (running): 21 trials: 21 finished",
                "0 steps, 0% of what all trials to their end take; 0 CPU-hours",
                "the table has 20 of 21 trials: `eagleray sweep show films-0001 --json` has all",
            ],
            id="more-than-the-table-has",
        ),
    ],
)
def test_facts(sweep: Sweep, changes: dict[str, Any], lines: list[str]) -> None:
    assert list(sweep_tables.facts(RECORD.model_copy(update=changes), sweep)) == lines
