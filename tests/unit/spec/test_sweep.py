"""What can be wrong with the section `sweep`: each mistake with its line, its place and how to mend it."""

from __future__ import annotations

import pytest

from eagleray.errors import DocumentError
from eagleray.spec import document, reported
from tests.support import documents
from tests.support.sweep_documents import METHOD, RATE, section

METRICS = ", ".join(reported.SINGLE_LABEL)
FOOTPRINT = ", ".join(reported.FOOTPRINT)
TRAIN_KEYS = (
    "epochs, max_steps, global_batch_size, micro_batch_size, learning_rate, optimizer, weight_decay, l1, "
    "l2, layer_decay, schedule, gradient_clip, precision, gradient_checkpointing, loss, label_smoothing, r_drop, "
    "mixup, dropout, attention_dropout, averaging, evaluate_every_steps, log_every_steps, early_stopping, "
    "baselines, seed"
)
SECTIONS = (
    "storage, model, task, data, method, train, metrics, self_training, stages, scale, checkpoint, failures, watchdog, "
    "sweep, promote, endpoint, tracking, monitoring, cluster"
)
VALUES = "a list with at least one value, each a single one or a list of strings, or null"


def _findings(text: str) -> list[str]:
    """Findings without the part that all have in common."""
    with pytest.raises(DocumentError) as raised:
        document.loads(text, source="a.yaml")
    return [str(finding).replace("a.yaml:8: spec.sweep.", "") for finding in raised.value.findings]


@pytest.mark.parametrize(
    ("sweep", "finding"),
    [
        pytest.param(
            section(""),
            "space: is empty: name at least one key, as train.learning_rate: {log_uniform: [1e-5, 1e-3]}",
            id="empty-space",
        ),
        pytest.param(
            "{budget: {trials: 4}}",
            "space: required and missing: give a mapping from keys to what they may be",
            id="no-space",
        ),
        pytest.param(
            section(budget="{trials: 0}"),
            "budget.trials: expected a whole number of at least 1, or null, got the number 0",
            id="budget-of-0-trials",
        ),
        pytest.param(
            section(budget="{steps: 0}"),
            "budget.steps: expected a whole number of at least 1, or null, got the number 0",
            id="budget-of-0-steps",
        ),
        pytest.param(
            section(budget="{device_hours: 0}"),
            "budget.device_hours: expected a number above 0, or null, got the number 0",
            id="budget-of-0-device-hours",
        ),
        pytest.param(
            section(budget="{hours: -1}"),
            "budget.hours: expected a number above 0, or null, got the number -1",
            id="budget-of-negative-hours",
        ),
        pytest.param(
            section(budget=""), "budget: search optuna has no end of its own: give `trials`, as 16", id="no-end-optuna"
        ),
        pytest.param(
            section(budget="", search="{type: random}"),
            "budget: search random has no end of its own: give `trials`, as 16",
            id="no-end-random",
        ),
        pytest.param(
            section(plateau="{trials: 0}"),
            "plateau.trials: expected a whole number of at least 1, got the number 0",
            id="plateau-of-0",
        ),
        pytest.param(
            section(scheduler="{type: asha, grace_steps: 50, max_steps: 10}"),
            "scheduler.max_steps: 10 is below grace_steps 50: no trial could ever be stopped; give more, "
            "or lower grace_steps",
            id="asha-max-below-grace",
        ),
        pytest.param(
            section(scheduler="{type: ahsa}"),
            'scheduler.type: unknown type, expected one of "fifo", "asha", "hyperband", "median", "pbt", '
            'got the string "ahsa"; did you mean "asha"?',
            id="unknown-scheduler",
        ),
        pytest.param(
            section(scheduler="{type: pbt}"),
            "scheduler.every_steps: required and missing: give a whole number of at least 1",
            id="pbt-without-an-interval",
        ),
        pytest.param(
            section(search="{type: hyperopt}"),
            'search.type: unknown type, expected one of "grid", "random", "optuna", got the string "hyperopt"',
            id="unknown-search",
        ),
        pytest.param(
            section(search="{type: grid}"),
            'space."train.learning_rate".log_uniform: a grid search cannot try all of a range: '
            "give `grid`, `quantized` or `int_uniform`",
            id="grid-search-over-a-range",
        ),
        pytest.param(
            section("train.epochs: {grid: [1, 2]}"),
            'space."train.epochs".grid: optuna chooses by itself what it tries how often: '
            "give `choice`, or search random",
            id="optuna-with-a-grid",
        ),
        pytest.param(
            section(warm_start="{sweep: ''}"),
            'warm_start.sweep: expected a string that is not empty, got the string ""',
            id="warm-start-from-nothing",
        ),
    ],
)
def test_course(sweep: str, finding: str) -> None:
    assert _findings(documents.text(sweep=sweep)) == [finding]


@pytest.mark.parametrize(
    ("sweep", "finding"),
    [
        pytest.param(
            section(objectives="[{metric: f1_marco, mode: max}]"),
            f"objectives[0].metric: `f1_marco` is not reported by this task, which reports {METRICS}, {FOOTPRINT}; "
            "did you mean `f1_macro`?",
            id="unknown-metric-lists-those-there-are",
        ),
        pytest.param(
            section(objectives="[{metric: loss, mode: min}, {metric: perplexity, mode: min}]"),
            f"objectives[1].metric: `perplexity` is not reported by this task, which reports {METRICS}, {FOOTPRINT}",
            id="metric-of-another-task",
        ),
        pytest.param(
            section(constraints="[{metric: latency, at_most: 3}]"),
            f"constraints[0].metric: `latency` is not reported by this task, which reports {METRICS}, {FOOTPRINT}; "
            "did you mean `latency_ms`?",
            id="unknown-metric-of-a-constraint",
        ),
        pytest.param(
            section(objectives="[{metric: f1_macro}]"),
            'objectives[0].mode: required and missing: give one of "max", "min"',
            id="objective-without-a-direction",
        ),
        pytest.param(
            section(objectives="[{metric: loss, mode: min}, {metric: loss, mode: max}]"),
            "objectives: loss is there 2 times: keep one",
            id="the-same-objective-twice",
        ),
        pytest.param(
            section(objectives="[{metric: latency_ms, mode: min}, {metric: model_size_mb, mode: min}]"),
            f"objectives: training changes none of them: add one of {METRICS}",
            id="footprint-alone",
        ),
        pytest.param(
            section(constraints="[{metric: latency_ms, at_most: 3}, {metric: latency_ms, at_least: 4}]"),
            "constraints: no latency_ms is at most 3 and at least 4: change one of them",
            id="constraints-contradict",
        ),
        pytest.param(
            section(constraints="[{metric: loss, at_most: 0.1, at_least: 0.2}]"),
            "constraints: no loss is at most 0.1 and at least 0.2: change one of them",
            id="constraint-contradicts-itself",
        ),
        pytest.param(
            section(constraints="[{metric: loss}]"),
            "constraints[0]: bounds nothing: give `at_most` or `at_least`",
            id="constraint-without-a-bound",
        ),
    ],
)
def test_objectives_and_constraints(sweep: str, finding: str) -> None:
    assert _findings(documents.text(sweep=sweep)) == [finding]


@pytest.mark.parametrize(
    ("dimension", "finding"),
    [
        pytest.param("{}", "give one of uniform, log_uniform, int_uniform, quantized, choice, grid", id="no-kind"),
        pytest.param(
            "{uniform: [0.1, 0.2], choice: [1]}", "uniform and choice exclude each other: keep one", id="two-kinds"
        ),
        pytest.param(
            "[0.1, 0.2]",
            "expected a mapping with the keys uniform, log_uniform, int_uniform, quantized, choice, grid, when, "
            "got a list",
            id="no-mapping",
        ),
    ],
)
def test_kind(dimension: str, finding: str) -> None:
    text = documents.text(sweep=section(f"train.weight_decay: {dimension}"))

    assert _findings(text) == [f'space."train.weight_decay": {finding}']


@pytest.mark.parametrize(
    ("dimension", "finding"),
    [
        pytest.param(
            "{loguniform: [0.1, 0.2]}",
            'loguniform: unknown key, did you mean "log_uniform"? '
            "Allowed here: uniform, log_uniform, int_uniform, quantized, choice, grid, when",
            id="unknown-kind",
        ),
        pytest.param("{uniform: [0.2, 0.1]}", "uniform: low 0.2 must be below high 0.1", id="wrong-way-round"),
        pytest.param("{int_uniform: [3, 3]}", "int_uniform: low 3 must be below high 3", id="nothing-between"),
        pytest.param(
            "{log_uniform: [0, 0.1]}",
            "log_uniform: low 0 has no logarithm: give a number above 0",
            id="logarithm-of-0",
        ),
        pytest.param("{quantized: [1, 3, 5]}", "quantized: step 5 must be above 0 and at most 2", id="step-too-long"),
        pytest.param("{quantized: [1, 3, 0]}", "quantized: step 0 must be above 0 and at most 2", id="step-of-0"),
        pytest.param(
            "{uniform: [0.2]}", "uniform: expected two numbers, as [low, high], or null, got a list", id="one-number"
        ),
        pytest.param(
            "{quantized: [1, 3]}",
            "quantized: expected three numbers, as [low, high, step], or null, got a list",
            id="no-step",
        ),
        pytest.param("{choice: []}", f"choice: expected {VALUES}, got a list", id="no-values"),
        pytest.param("{choice: 3}", f"choice: expected {VALUES}, got the number 3", id="value-for-a-list"),
    ],
)
def test_range(dimension: str, finding: str) -> None:
    text = documents.text(sweep=section(f"train.weight_decay: {dimension}"))

    assert _findings(text) == [f'space."train.weight_decay".{finding}']


@pytest.mark.parametrize(
    ("dimension", "finding"),
    [
        pytest.param(
            "{log_uniform: ['1e-5', 1]}",
            'log_uniform: expected two numbers, as [low, high], or null, got the string "1e-5": '
            "write it without quotes",
            id="quoted-number",
        ),
        pytest.param(
            "{int_uniform: [1.5, 3]}",
            "int_uniform: expected two whole numbers, as [low, high], or null, got the number 1.5",
            id="fraction",
        ),
        pytest.param("{choice: [{type: cosine}]}", f"choice: expected {VALUES}, got a mapping", id="mapping"),
    ],
)
def test_entry_of_a_range(dimension: str, finding: str) -> None:
    """Pydantic says of the list, too, that it is too short then."""
    text = documents.text(sweep=section(f"train.schedule: {dimension}"))

    assert _findings(text)[0] == f'space."train.schedule".{finding}'


@pytest.mark.parametrize(
    ("space", "findings"),
    [
        pytest.param(
            "method.rank: {choice: [2, 4], when: {method.type: lora}}",
            [
                'space."method.rank".when."method.type": is not in the space: '
                "a condition is about another key that is searched"
            ],
            id="key-that-is-not-searched",
        ),
        pytest.param(
            "method.type: {choice: [full, lora]}, method.rank: {choice: [2, 4], when: {method.type: lroa}}",
            ['space."method.rank".when."method.type": method.type is never "lroa": give one of "full", "lora"'],
            id="value-that-it-never-has",
        ),
        pytest.param(
            f"{RATE}, train.epochs: {{choice: [2, 4], when: {{train.learning_rate: 0.0001}}}}",
            [
                'space."train.epochs".when."train.learning_rate": train.learning_rate has no list of values: '
                "a condition is about one with `choice` or `grid`"
            ],
            id="range",
        ),
        pytest.param(
            "train.epochs: {quantized: [2, 4, 1]}, train.seed: {choice: [1, 2], when: {train.epochs: 3}}",
            [
                'space."train.seed".when."train.epochs": train.epochs has no list of values: '
                "a condition is about one with `choice` or `grid`"
            ],
            id="steps",
        ),
        pytest.param(
            "train.epochs: {choice: [1, 2], when: {train.epochs: 1}}",
            [
                'space."train.epochs".when."train.epochs": train.epochs and train.epochs wait for each other: '
                "leave one of the conditions out"
            ],
            id="itself",
        ),
        pytest.param(
            "train.epochs: {choice: [1, 2], when: {train.seed: 1}}, "
            "train.seed: {choice: [1, 2], when: {data.max_length: 64}}, "
            "data.max_length: {choice: [64, 128], when: {train.epochs: 1}}",
            [
                f'space."{key}".when."{other}": {key} and {other} wait for each other: leave one of the conditions out'
                for key, other in (
                    ("train.epochs", "train.seed"),
                    ("train.seed", "data.max_length"),
                    ("data.max_length", "train.epochs"),
                )
            ],
            id="cycle-of-three",
        ),
        pytest.param(
            "train.seed: {choice: [1, 2], when: {train.epochs: 1}}, "
            "train.epochs: {choice: [1, 2], when: {data.max_length: 64}}, "
            "data.max_length: {choice: [64, 128], when: {train.epochs: 1}}",
            [
                f'space."{key}".when."{other}": {key} and {other} wait for each other: leave one of the conditions out'
                for key, other in (("train.epochs", "data.max_length"), ("data.max_length", "train.epochs"))
            ],
            id="key-beside-a-cycle-is-not-to-blame",
        ),
    ],
)
def test_conditions(space: str, findings: list[str]) -> None:
    assert _findings(documents.text(sweep=section(space))) == findings


@pytest.mark.parametrize(
    ("space", "findings"),
    [
        pytest.param(
            "train.learning_rat: {uniform: [0.1, 0.2]}",
            [
                'space."train.learning_rat": spec.train.learning_rat: unknown key, did you mean "learning_rate"? '
                f"Allowed here: {TRAIN_KEYS}"
            ],
            id="unknown-key-once-for-all-values",
        ),
        pytest.param(
            "trian.learning_rate: {uniform: [0.1, 0.2]}",
            [f'space."trian.learning_rate": spec.trian: unknown key, did you mean "train"? Allowed here: {SECTIONS}'],
            id="unknown-section",
        ),
        pytest.param(
            "spec.train.learning_rate: {uniform: [0.1, 0.2]}",
            ['space."spec.train.learning_rate": keys are counted from spec on: write train.learning_rate'],
            id="with-spec",
        ),
        pytest.param(
            "train..x: {choice: [1, 2]}",
            ["space.\"train..x\": 'train..x' is no path: write keys joined by dots, as in train.learning_rate"],
            id="no-path",
        ),
        pytest.param(
            "model.source.x: {choice: [a, b]}",
            ['space."model.source.x": spec.model.source: has a value in the document, and no keys'],
            id="below-a-text",
        ),
        pytest.param(
            "model.source.type: {choice: [a, b]}",
            ['space."model.source.type": spec.model.source: has a value in the document, and no keys'],
            id="type-of-a-text",
        ),
        pytest.param(
            "train.learning_rate: {choice: [0.1, -1, abc]}",
            [
                'space."train.learning_rate": -1 cannot be: spec.train.learning_rate: '
                "expected a number above 0, got the number -1",
                'space."train.learning_rate": "abc" cannot be: spec.train.learning_rate: '
                'expected a number above 0, got the string "abc"',
            ],
            id="values-that-the-document-refuses",
        ),
        pytest.param(
            "train.label_smoothing: {uniform: [0.5, 1]}",
            [
                'space."train.label_smoothing": 1.0 cannot be: spec.train.label_smoothing: '
                "expected a number of at least 0 and below 1, got the number 1.0"
            ],
            id="end-of-a-range",
        ),
        pytest.param(
            "train.epochs: {quantized: [1, 3, 0.5]}",
            [
                'space."train.epochs": 1.5 cannot be: spec.train.epochs: '
                "expected a whole number of at least 1, got the number 1.5"
            ],
            id="step-between-the-ends",
        ),
        pytest.param(
            "train.gradient_checkpointing: {choice: [true, 1]}",
            [
                'space."train.gradient_checkpointing": 1 cannot be: spec.train.gradient_checkpointing: '
                "expected true or false, got the number 1"
            ],
            id="number-for-a-truth",
        ),
        pytest.param(
            "method.type: {choice: [full, lroa]}",
            [
                'space."method.type": "lroa" cannot be: spec.method.type: unknown type, '
                'expected one of "full", "freeze", "lora", "ia3", "p_tuning_v2", "prompt_tuning", got the string '
                '"lroa"; did you mean "lora"?'
            ],
            id="unknown-type",
        ),
        pytest.param(
            "method.rank: {choice: [2, 4]}",
            [
                'space."method.rank": spec.method.rank: unknown key, it belongs at spec.method.rank. '
                "Allowed here with type full: type"
            ],
            id="key-of-another-type",
        ),
        pytest.param(
            "method.type: {choice: [lora, full]}, method.rank: {choice: [2, 4]}",
            [
                'space."method.rank": does not go with method.type "full": '
                "give `when`, with a value of method.type that it goes with"
            ],
            id="condition-forgotten",
        ),
        *(
            pytest.param(
                f"{key}: {{choice: [{values}]}}",
                [f"space.{written}: {fixed} is the same for all trials of a sweep: give it in the document"],
                id=f"fixed-{key}",
            )
            for key, values, written, fixed in (
                ("scale.num_workers", "1, 2", '"scale.num_workers"', "scale.num_workers"),
                ("scale.gpus_per_worker", "0, 1", '"scale.gpus_per_worker"', "scale.gpus_per_worker"),
                ("storage", "a, b", "storage", "storage"),
                ("sweep.keep", "1, 2", '"sweep.keep"', "sweep"),
            )
        ),
    ],
)
def test_keys_and_values(space: str, findings: list[str]) -> None:
    assert _findings(documents.text(sweep=section(space))) == findings


def test_a_key_that_forgets_its_condition_where_the_document_has_the_right_type() -> None:
    text = documents.text(
        method="{type: lora}", sweep=section("method.type: {choice: [lora, full]}, method.rank: {choice: [2]}")
    )

    assert _findings(text) == [
        'a.yaml:9: spec.sweep.space."method.rank": does not go with method.type "full": '
        "give `when`, with a value of method.type that it goes with"
    ]


def test_a_value_that_does_not_go_with_the_rest_of_the_document() -> None:
    text = documents.text(sweep=section("train.global_batch_size: {choice: [2, 8]}"), scale="{num_workers: 4}")

    assert _findings(text) == [
        'space."train.global_batch_size": 2 cannot be: spec.scale.num_workers: 4 workers are more than '
        "train.global_batch_size 2: every worker needs at least one sample a step"
    ]


@pytest.mark.parametrize(
    ("space", "point", "finding"),
    [
        pytest.param(
            RATE,
            "{train.epochs: 3}",
            "start_from[0]: train.epochs is not in the space: add it there, or leave it out",
            id="key",
        ),
        pytest.param(
            RATE, "{}", "start_from[0]: is empty: give a value of at least one key, or leave it out", id="empty"
        ),
        pytest.param(
            RATE,
            "{train.learning_rate: 3}",
            'start_from[0]."train.learning_rate": 3 is not what train.learning_rate may be in the space: '
            "from 1e-05 to 0.001",
            id="outside-of-a-range",
        ),
        pytest.param(
            RATE,
            "{train.learning_rate: high}",
            'start_from[0]."train.learning_rate": "high" is not what train.learning_rate may be in the space: '
            "from 1e-05 to 0.001",
            id="text",
        ),
        pytest.param(
            "train.epochs: {int_uniform: [1, 9]}",
            "{train.epochs: 2.5}",
            'start_from[0]."train.epochs": 2.5 is not what train.epochs may be in the space: '
            "a whole number from 1 to 9",
            id="fraction",
        ),
        pytest.param(
            "train.epochs: {quantized: [1, 9, 2]}",
            "{train.epochs: 2}",
            'start_from[0]."train.epochs": 2 is not what train.epochs may be in the space: from 1 to 9 in steps of 2',
            id="between-two-steps",
        ),
        pytest.param(
            "train.epochs: {choice: [1, 9]}",
            "{train.epochs: true}",
            'start_from[0]."train.epochs": true is not what train.epochs may be in the space: one of 1, 9',
            id="true-is-no-1",
        ),
        pytest.param(
            METHOD,
            "{method.type: lroa}",
            'start_from[0]."method.type": "lroa" is not what method.type may be in the space: one of "full", "lora"',
            id="not-in-the-list",
        ),
    ],
)
def test_start_from_outside_of_the_space(space: str, point: str, finding: str) -> None:
    assert _findings(documents.text(sweep=section(space, start_from=f"[{point}]"))) == [finding]


@pytest.mark.parametrize(
    ("data", "finding"),
    [
        pytest.param(
            "{train: a.csv}", "then only test rows could judge the model: give data.test, or set it to false", id="none"
        ),
        pytest.param(
            "{train: a.csv, test_fraction: 0.1}",
            "then only test rows could judge the model: give data.test, or set it to false",
            id="a-fraction-for-the-test",
        ),
        pytest.param(
            "{train: a.csv, test: b.csv, validation: {file: c.csv}}",
            "needs the validation rows to be a `fraction` of the training rows, or set it to false",
            id="validation-of-its-own",
        ),
    ],
)
def test_final_with_validation_needs_test_rows(data: str, finding: str) -> None:
    text = documents.text(data=data, sweep=section(final="{epochs: 3}"))

    assert _findings(text) == [f"final.with_validation: {finding}"]


def test_final_with_more_workers_than_samples_a_step() -> None:
    text = documents.text(sweep=section(final="{with_validation: false, scale: {num_workers: 33}}"))

    assert _findings(text) == [
        "final.scale.num_workers: 33 workers are more than train.global_batch_size 32: every worker needs at least one "
        "sample a step"
    ]


@pytest.mark.parametrize(
    "sweep",
    [
        pytest.param(section(), id="shortest"),
        pytest.param(section("train.epochs: {grid: [1, 2]}", search="{type: grid}", budget=""), id="a-grid-has-an-end"),
        pytest.param(section(budget="", plateau="{trials: 5}"), id="a-plateau-is-an-end"),
        pytest.param(
            section(scheduler="{type: asha, grace_steps: 10, max_steps: 10}"), id="asha-max-that-is-the-grace"
        ),
        pytest.param(
            section(objectives="[{metric: latency_ms, mode: min}, {metric: f1_macro, mode: max}]"),
            id="footprint-before-a-metric",
        ),
        pytest.param(
            section(constraints="[{metric: loss, at_most: 3}, {metric: loss, at_least: 3}]"), id="constraints-that-meet"
        ),
        pytest.param(section(METHOD, start_from="[{method.type: full}, {method.rank: 8}]"), id="start-points"),
        pytest.param(
            section("train.epochs: {quantized: [1, 9, 2]}", start_from="[{train.epochs: 9}]"), id="start-at-a-step"
        ),
        pytest.param(section(f"{METHOD}, method.alpha: {{uniform: [1, 2], when: {{method.rank: 8}}}}"), id="nested"),
        pytest.param(
            section("train.schedule.type: {choice: [cosine, linear]}, train.schedule.warmup: {uniform: [0, 0.5]}"),
            id="key-of-all-types",
        ),
        pytest.param(section("'data.keep.\"a.b\"': {choice: [[x], [y, z]]}"), id="quoted-key-and-lists"),
        pytest.param(section(final="{with_validation: false}"), id="final-on-the-same-rows"),
    ],
)
def test_right(sweep: str) -> None:
    loaded = document.loads(documents.text(sweep=sweep), source="a.yaml").document

    assert document.loads(document.dump(loaded), source="b.yaml").document == loaded


def test_a_number_of_the_command_line_is_blamed_on_it() -> None:
    with pytest.raises(DocumentError) as raised:
        document.loads(documents.text(sweep=section()), source="a.yaml", overrides=["sweep.budget.trials=0"])

    assert [str(finding) for finding in raised.value.findings] == [
        "--set: spec.sweep.budget.trials: expected a whole number of at least 1, or null, got the number 0"
    ]
