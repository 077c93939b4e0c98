"""What is found about a run: each kind of trouble where it is, and nothing where there is none."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import BaseModel

from eagleray.report.diagnosis import time
from eagleray.report.diagnosis.finding import Finding
from eagleray.report.diagnosis.rate import learning_rate
from eagleray.report.diagnosis.run import diagnose
from eagleray.report.history import History
from eagleray.spec.finetune import FineTuneSpec
from eagleray.store.goodput import Goodput
from tests.support import run_samples
from tests.support.run_samples import evaluations, history, layer_norms, mistakes, scores, training

NAN = float("nan")
FALLING = training(lambda at: 0.1 + 0.6 * math.exp(-8 * at))
FLAT = training(lambda at: 0.69)


def _whats(found: History) -> list[str]:
    return [finding.what for finding in diagnose(found)]


def _blocks(faint: Callable[[int], float]) -> list[dict[str, Any]]:
    def norm(layer: str, at: float) -> float:
        number = layer.rpartition(".")[2]
        return faint(int(number)) if number.isdecimal() else 1.0

    return layer_norms(norm)


def _document(**train: Any) -> dict[str, Any]:
    spec = run_samples.DOCUMENT["spec"]
    return {**run_samples.DOCUMENT, "spec": {**spec, "train": {**spec["train"], **train}}}


@pytest.mark.parametrize(
    ("given", "severity", "what", "evidence"),
    [
        pytest.param(
            history([*FALLING, *evaluations(lambda at: 0.3 + 0.6 * (at - 0.4) ** 2)]),
            "warning",
            "Overfitting",
            "least at step 80 (0.3) and rose to 0.516 by step 200",
            id="overfitting",
        ),
        pytest.param(
            history(
                [*training(lambda at: 0.5 * math.exp(-6 * at)), *evaluations(lambda at: 0.3 + 0.2 * math.exp(-4 * at))]
            ),
            "note",
            "The training rows are known much better",
            "the gap opened at step 40",
            id="a gap without a rise",
        ),
        pytest.param(
            history(FALLING, record={"metrics": {"test": {"accuracy": 0.93}, "majority": {"accuracy": 0.93}}}),
            "problem",
            "Underfitting",
            "its accuracy is 0.93, that of the majority class 0.93",
            id="no better than the majority",
        ),
        pytest.param(
            history([*training(lambda at: 1 - 0.8 * at), *evaluations(lambda at: 1 - 0.7 * at)]),
            "note",
            "It ended while it still learned",
            "in the last fifth of the steps",
            id="ended too early",
        ),
        pytest.param(
            history([*FALLING, *_blocks(lambda number: 10.0 ** (number - 5))]),
            "warning",
            "The gradients vanish in bert.encoder.layer.0, bert.encoder.layer.1",
            "bert.encoder.layer.0 has a norm of 1e-05 where bert.encoder.layer.5 has 1",
            id="vanishing",
        ),
        pytest.param(
            history([*FALLING, *_blocks(lambda number: 0.0 if number == 3 else 1.0)]),
            "warning",
            "bert.encoder.layer.3 learns nothing",
            "in the median of",
            id="a dead layer",
        ),
        pytest.param(
            history(
                [
                    *training(lambda at: 0.5 - 0.1 * at, norm=lambda at: 500.0 if 0.72 < at < 0.73 else 1.0),
                    *layer_norms(lambda layer, at: 400.0 if layer == "bert.pooler" and at > 0.6 else 1.0),
                ]
            ),
            "warning",
            "The gradients exploded",
            "at step 145 their norm was",
            id="exploding",
        ),
        pytest.param(
            history(training(lambda at: 0.5 - 0.1 * at, norm=lambda at: NAN if at > 0.5 else 1.0)),
            "problem",
            "The gradients exploded",
            "their norm is no number at step 105",
            id="exploding to no number",
        ),
        pytest.param(
            history(training(lambda at: 0.5 - 0.2 * at, norm=lambda at: 40.0)),
            "note",
            "Nearly every step is clipped",
            "train.gradient_clip is 1",
            id="clipped",
        ),
        pytest.param(
            history(training(lambda at: 0.7 - at if at < 0.3 else 0.4 + 3 * (at - 0.3))),
            "problem",
            "The learning rate is too high",
            "the training loss rose from",
            id="diverging",
        ),
        pytest.param(
            history(
                training(lambda at: 0.7 + 90 * at if at < 0.3 else 9 - 5 * at), document=_document(learning_rate=0.3)
            ),
            "problem",
            "The learning rate is too high",
            "at step 55. The highest rate was 0.3",
            id="a loss that comes down again",
        ),
        pytest.param(
            history(training(lambda at: 0.7 if at < 0.2 else NAN)),
            "problem",
            "The learning rate is too high",
            "the loss was no number any more",
            id="a loss that is no number",
        ),
        pytest.param(
            history([], record={"phase": "failed", "error": "the loss was nan for 3 steps up to step 9: lower …"}),
            "problem",
            "The learning rate is too high",
            "the loss was no number any more",
            id="failed by its loss",
        ),
        pytest.param(
            history(training(lambda at: 0.7 - 0.06 * at)),
            "warning",
            "The learning rate is too low",
            "evenly, over 200 steps at a rate of 0.0001",
            id="too low",
        ),
        pytest.param(
            history(FLAT),
            "problem",
            "No convergence",
            "a moderate rate",
            id="no convergence at a moderate rate",
        ),
        pytest.param(
            history(FLAT, document=_document(learning_rate=0.1)),
            "problem",
            "No convergence",
            "a high rate",
            id="no convergence at a high rate",
        ),
        pytest.param(
            history(
                FALLING,
                record={"metrics": {"test": scores([[276, 4], [2, 18]])}},
                mistakes=[mistakes("test", num_sure=3)],
            ),
            "warning",
            "3 rows of test may have a wrong label",
            "sms.csv:10, sms.csv:11, sms.csv:12 it gives their own label less than 2%",
            id="wrong labels",
        ),
        pytest.param(
            history(
                FALLING,
                record={"metrics": {"validation": scores([[276, 4], [2, 18]])}},
                mistakes=[mistakes("train", num_sure=1)],
            ),
            "warning",
            "1 row of train may have a wrong label",
            "the model is right about 98.0% of the validation rows, but to sms.csv:10 it gives",
            id="a wrong label to learn from",
        ),
        pytest.param(
            history(FALLING, data=run_samples.data(), record={"metrics": {"test": scores([[276, 4], [15, 5]])}}),
            "warning",
            "Too little data for the class 'spam'",
            "11 training rows; its F1 is 0.345",
            id="a class with few rows",
        ),
        pytest.param(
            history(
                FALLING,
                record={
                    "metrics": {
                        "test": {
                            "calibration_error": 0.2,
                            "calibration": {"counts": [10], "probabilities": [0.9], "right": [0.7]},
                        }
                    }
                },
            ),
            "note",
            "Its probabilities cannot be believed: it is too sure",
            "off by 20.0% on average",
            id="miscalibrated",
        ),
    ],
)
def test_found(given: History, severity: str, what: str, evidence: str) -> None:
    found = [finding for finding in diagnose(given) if finding.what.startswith(what)]

    assert [finding.severity for finding in found] == [severity], _whats(given)
    assert evidence in found[0].evidence
    assert _unknown_keys(found[0]) == [], "advice must name keys that there are"


@pytest.mark.parametrize(
    "given",
    [
        pytest.param(history([*FALLING, *evaluations(lambda at: 0.14 + 0.5 * math.exp(-8 * at))]), id="good"),
        pytest.param(history([*FALLING, *_blocks(lambda number: 1.0 + number)]), id="healthy layers"),
        pytest.param(
            history(FALLING, record={"metrics": {"test": scores([[200, 80], [2, 18]])}}, mistakes=[mistakes("test")]),
            id="a model that is too bad to doubt labels",
        ),
        pytest.param(
            history(
                FALLING,
                record={"metrics": {"test": scores([[276, 4], [2, 18]])}},
                mistakes=[mistakes("test", num_sure=0)],
            ),
            id="unsure mistakes",
        ),
        pytest.param(run_samples.empty(), id="hardly begun"),
        pytest.param(run_samples.old(), id="an old run"),
    ],
)
def test_nothing_found(given: History) -> None:
    assert _whats(given) == []


def test_the_gravest_comes_first() -> None:
    metrics = {"test": scores([[276, 4], [15, 5]]), "majority": {"accuracy": 0.93}}
    norms = training(lambda at: 0.1 + 0.6 * math.exp(-8 * at), norm=lambda at: 40.0)
    given = history(norms, data=run_samples.data(), record={"metrics": metrics})

    assert [finding.severity for finding in diagnose(given)] == ["problem", "warning", "note"]


def test_of_a_run_that_went_off_no_consequences_are_told() -> None:
    off = training(lambda at: 0.7 - at if at < 0.3 else 0.4 + 3 * (at - 0.3), norm=lambda at: 40.0)
    rows = [*off, *evaluations(lambda at: 0.3 + at**2), *_blocks(lambda number: 10.0 ** (number - 5))]

    assert _whats(history(rows, record={"metrics": {"test": {"accuracy": 0.5}, "majority": {"accuracy": 0.5}}})) == [
        "The learning rate is too high: the loss went off"
    ]


@pytest.mark.parametrize(
    ("rate", "method", "advice"),
    [
        (1e-4, "full", "to 3.3e-05 or 1e-05;"),
        (0.3, "full", "to 5e-05, which is usual with method.type full;"),
        (0.3, "lora", "to 0.0005, which is usual with method.type lora;"),
    ],
    ids=["near", "far", "far, of adapters"],
)
def test_what_to_lower_a_rate_to(rate: float, method: str, advice: str) -> None:
    off = [(step, 0.5 + step) for step in range(20)]

    (finding,) = learning_rate(off, rate=rate, method=method)

    assert advice in finding.advice


@pytest.mark.parametrize(
    ("wall_s", "seconds", "whats"),
    [
        (1000.0, {"steps": 900.0, "evaluation": 100.0}, []),
        (1000.0, {"steps": 500.0, "lost": 500.0}, ["50% of the time goes into doing steps again after failures"]),
        (1000.0, {"steps": 600.0, "evaluation": 400.0}, ["40% of the time goes into evaluating"]),
        (20.0, {"steps": 5.0, "start_up": 15.0}, []),
    ],
    ids=["well spent", "lost", "evaluation", "a short run"],
)
def test_time(wall_s: float, seconds: dict[str, float], whats: list[str]) -> None:
    goodput = Goodput.model_validate({"wall_s": wall_s, "seconds": seconds, "share": seconds["steps"] / wall_s})

    found = list(time.spent(goodput))

    assert [finding.what for finding in found] == whats
    assert [key for finding in found for key in _unknown_keys(finding)] == []


def _unknown_keys(finding: Finding) -> list[str]:
    """What looks like a key of the document in the advice, and is none."""
    sections = "|".join(FineTuneSpec.model_fields)
    return [key for key in re.findall(rf"\b(?:{sections})(?:\.[a-z_]+)+", finding.advice) if not _is_key(key)]


def _is_key(path: str) -> bool:
    models: list[type[BaseModel]] = [FineTuneSpec]
    for name in path.split("."):
        fields = [model.model_fields[name] for model in models if name in model.model_fields]
        if not fields:
            return False
        models = [each for field in fields for each in _models(field.annotation)]
    return True


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type):
        return [annotation] if issubclass(annotation, BaseModel) else []
    inner = [getattr(annotation, "__value__", None), *getattr(annotation, "__args__", ())]
    return [model for each in inner if each is not None for model in _models(each)]
