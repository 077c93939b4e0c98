"""The page of a sweep: what it tells, that it loads nothing, and that no text of a trial becomes markup."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

import pytest

from eagleray.report import sweep as page
from eagleray.spec.sweep import ConstraintSpec, ObjectiveSpec
from eagleray.store.sweeps import Sweep
from tests.support import sweep_samples
from tests.support.html_pages import Read
from tests.support.sweep_samples import trial

NAN = float("nan")
F1 = ObjectiveSpec(metric="f1_macro", mode="max")
LATENCY = ObjectiveSpec(metric="latency_ms", mode="min")
FAST = ConstraintSpec(metric="latency_ms", at_most=8)
FIGURES = ["curves", "coordinates", "importance", "cost"]


def _html(
    sweep: Sweep,
    *,
    objectives: Sequence[ObjectiveSpec] = (F1,),
    constraints: Sequence[ConstraintSpec] = (),
    best_document: str = "kind: FineTune\n",
    run: str = "sms-0003",
) -> str:
    return page.render(sweep, run=run, objectives=objectives, constraints=constraints, best_document=best_document)


ASHA = _html(sweep_samples.asha())


@pytest.mark.parametrize(
    "words",
    [
        pytest.param("sms-0003", id="run"),
        pytest.param("16 trials: 2 finished, 12 pruned, 1 unfit, 1 failed.", id="states"),
        pytest.param("Trial 6 is the best.", id="best-trial"),
        pytest.param("The search ended: the budget of 16 trials is used up.", id="end"),
        pytest.param("best f1_macro 0.9395 trial 6 at step 260; higher is better", id="best-value"),
        pytest.param("steps run 1,100 25% of 4,320", id="steps"),
        pytest.param("GPU-hours spent 0.316 30 min 34 s by the clock", id="hours"),
        pytest.param("steps saved by pruning 2,700 of 12 pruned trials", id="steps-saved"),
        pytest.param("GPU-hours saved by pruning 0.897", id="hours-saved"),
        pytest.param("1 6 finished 0.9395 0.0003958 lora 32 0.0681 270 4 min 3 s", id="row"),
        pytest.param("— 11 failed — 2.987e-05 lora 4 0.0385 0 0 s process 3231 on 192.0.2.2 was killed", id="error"),
    ],
)
def test_page_tells(words: str) -> None:
    assert words in Read(ASHA).text


def test_rows_go_from_the_best_to_what_has_no_rank() -> None:
    ranks = re.findall(r"<tr[^>]*>\s*<td class=\"right\">(.+?)</td>", ASHA)

    assert ranks == [str(rank) for rank in range(1, 16)] + ["—"]


@pytest.mark.parametrize(
    ("sweep", "figures", "words"),
    [
        pytest.param(Sweep(), [], "No trial has been started yet.", id="no-trials"),
        pytest.param(Sweep((trial(0),)), ["coordinates"], "None has a value", id="no-evaluation-yet"),
        pytest.param(
            Sweep((trial(0, [0.5, 0.6]),)), ["curves", "coordinates", "cost"], "Trial 0 is the best.", id="one"
        ),
        pytest.param(
            Sweep(tuple(trial(number, state="failed", error="lost") for number in range(3))),
            ["coordinates"],
            "3 trials: 3 failed. None has a value",
            id="all-failed",
        ),
        pytest.param(Sweep((trial(0, [NAN, None, NAN]),)), ["coordinates"], "None has a value", id="nan"),
        pytest.param(
            Sweep((trial(0, [None, 0.5, NAN], params={"rate": NAN}),)),
            ["curves", "coordinates", "cost"],
            "Trial 0 is the best.",
            id="some-metrics-missing",
        ),
        pytest.param(
            Sweep((trial(0, [0.5], params={}),)), ["curves", "cost"], "no trial has parameters", id="no-parameters"
        ),
        pytest.param(sweep_samples.asha(), FIGURES, "GPU-hours saved", id="asha"),
        pytest.param(sweep_samples.pbt(), ["curves", "coordinates", "cost"], "A diamond is where", id="pbt"),
    ],
)
def test_page_of_any_sweep(sweep: Sweep, figures: list[str], words: str) -> None:
    read = Read(_html(sweep))

    assert read.figures() == figures
    assert words in read.text


def test_several_objectives_and_a_constraint() -> None:
    read = Read(_html(sweep_samples.two_objectives(), objectives=[F1, LATENCY], constraints=[FAST]))

    assert read.figures() == ["curves", "coordinates", "importance", "tradeoffs", "cost"]
    assert "Only trials with latency_ms at most 8 can be the best." in read.text
    assert "Trial 0 is the best of those that no other beats in all objectives: 0, 3, 5, 7." in read.text
    assert "best latency_ms 6 trial 0 at step 100; lower is better" in read.text
    assert "0.901 6 kept 16" in read.text
    assert "latency_ms 10, allowed: at most 8" in read.text


@pytest.mark.parametrize("document", ["", "kind: FineTune\nspec: {a: <b>}\n"], ids=["none", "some"])
def test_best_configuration_can_be_copied(document: str) -> None:
    read = Read(_html(sweep_samples.asha(), best_document=document))

    assert ("button" in [tag for tag, _ in read.tags]) == bool(document)
    assert ("pre" in [tag for tag, _ in read.tags]) == bool(document)
    assert document in "".join(read.words)


@pytest.mark.parametrize(
    "html",
    [
        pytest.param(
            _html(Sweep((trial(0, [0.5], state="failed", error='</td></script><img src="http://x"> & "q"'),))),
            id="error",
        ),
        pytest.param(_html(Sweep((trial(0, [0.5], params={"<img src=x>": "</script><img src=x>"}),))), id="parameter"),
        pytest.param(_html(Sweep((trial(0, [0.5]),)), best_document="</pre><img src=x>"), id="document"),
        pytest.param(_html(Sweep((trial(0, [0.5]),)), run="<img src=x>"), id="run"),
        pytest.param(_html(Sweep((trial(0, [0.5]),), end_reason="<img src=x>")), id="end-reason"),
    ],
)
def test_no_text_becomes_markup(html: str) -> None:
    read = Read(html)

    assert "img" not in [tag for tag, _ in read.tags]
    assert "<img src=" in read.text
    figures = [script for script in read.scripts if script.startswith('{"')]
    assert [script for script in figures if "<" in script or not json.loads(script)] == []


def test_page_loads_nothing() -> None:
    read = Read(ASHA)

    assert [(tag, attrs) for tag, attrs in read.tags if {"src", "href", "srcset", "action", "data"} & set(attrs)] == []
    assert {tag for tag, _ in read.tags} & {"link", "iframe", "img", "object", "embed", "base"} == set()
    style = ASHA.split("<style>")[1].split("</style>")[0]
    assert "url(" not in style
    assert "@import" not in style


def test_page_forbids_the_browser_to_load_anything() -> None:
    (policy,) = [attrs["content"] for tag, attrs in Read(ASHA).tags if "http-equiv" in attrs]

    assert policy is not None
    assert policy.startswith("default-src 'none'; ")
    assert not re.search(r"https?:|\*", policy)


def test_the_script_that_draws_is_there_once_and_only_where_something_is_drawn() -> None:
    scripts = [script for script in Read(ASHA).scripts if len(script) > 1_000_000]

    assert len(scripts) == 1
    assert len(_html(Sweep())) < 20_000
