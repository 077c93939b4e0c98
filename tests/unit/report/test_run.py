"""The page of a run: what it tells, what it says is missing, and that no text of the data becomes markup."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from eagleray.report import answers, learning, timeline
from eagleray.report.history import History
from eagleray.report.run import render
from eagleray.store.lineage import VersionRecord
from tests.support import run_samples
from tests.support.html_pages import Read
from tests.support.records import LOCK, NOW

FIGURES = [
    *("losses", "metric", "rate", "norms", "layers", "confusion", "calibration"),
    *("lengths", "labels", "goodput", "timeline"),
]
EVIL = "<img src=x> & </script>"
GOOD = Read(render(run_samples.good()))
VERSION = VersionRecord(
    name="sms",
    version=3,
    run="sms-spam-0001",
    task="text-classification",
    method="full",
    created_at=NOW,
    document={},
    lock=LOCK,
    model_source="",
    model_sha256="",
    files=(),
)


@pytest.mark.parametrize(
    "words",
    [
        pytest.param("It succeeded after 200 steps. The model is that of step 200.", id="headline"),
        pytest.param("f1_macro 0.9232 on test", id="metric"),
        pytest.param("goodput 54% of 4 min 20 s went into steps that count", id="goodput"),
        pytest.param(
            "warning 3 rows of validation may have a wrong label the model is right about 97.8%", id="finding"
        ),
        pytest.param("Add rows of it to data.train, 30 at the least", id="advice"),
        pytest.param("accuracy 0.9784 0.98 0.93", id="metrics"),
        pytest.param("spam 11 20 0.8182 0.9 0.8571 ham 1,280 280", id="classes, the weakest first"),
        pytest.param(
            "label ham (0.4%), answered spam (99.6%) · loss 5.521 · sms.csv:11 · the label may be", id="mistake"
        ),
        pytest.param("lost work 11.5% 30 s", id="lost work"),
        pytest.param("stood still for 4.0 s before the checkpoint of step 160", id="stall"),
        pytest.param("20 steps to repeat", id="restart"),
        pytest.param("commit of the working directory 0000", id="lineage"),
        pytest.param("learning_rate: 0.0001", id="document"),
    ],
)
def test_page_tells(words: str) -> None:
    assert words in GOOD.text


@pytest.mark.parametrize(
    ("history", "figures", "words"),
    [
        pytest.param(run_samples.good(), FIGURES, "Of the final model", id="good"),
        pytest.param(
            run_samples.old(),
            ["losses", "metric", "rate", "norms", "timeline"],
            "It began with step 40 of sms-spam-0000.",
            id="of an older version",
        ),
        pytest.param(run_samples.empty(), ["timeline"], "Nothing to draw: no step is recorded.", id="just begun"),
        pytest.param(
            run_samples.history(record={"phase": "failed", "error": "worker 1: out of memory."}),
            ["timeline"],
            "It failed after 200 of 200 steps: worker 1: out of memory.",
            id="failed",
        ),
    ],
)
def test_page_of_any_run(history: History, figures: list[str], words: str) -> None:
    read = Read(render(history))

    assert read.figures() == figures
    assert words in read.text


@pytest.mark.parametrize("missing", ["layers", "lengths", "goodput"])
def test_what_an_older_version_did_not_write_down_is_said_to_be_missing(missing: str) -> None:
    html = render(run_samples.old())

    assert f'id="{missing}"' not in html
    assert Read(html).text.count("Not written down: an older version trained this run") == 4
    assert "Not written down: the run has not been evaluated yet" in html


def test_versions_made_of_the_run() -> None:
    assert "registered as sms@3" in Read(render(run_samples.good(), versions=[VERSION])).text


def _evil() -> History:
    """Every text that comes from elsewhere tries to be markup."""
    good = run_samples.good()
    labels = (EVIL, "spam")
    metrics = {
        f"{EVIL} split": {"loss": 1.0},
        "test": {**run_samples.scores([[270, 10], [2, 18]], labels), EVIL: 0.5},
    }
    assert good.data is not None
    splits = [
        split.model_copy(update={"label_counts": {EVIL: 9, "spam": 2}, "source": EVIL}) for split in good.data.splits
    ]
    worst = run_samples.mistakes("test")
    mistakes = [each.model_copy(update={"label": EVIL, "answer": EVIL, "place": EVIL}) for each in worst.mistakes]
    return replace(
        good,
        record=good.record.model_copy(update={"run": EVIL, "metrics": metrics, "phase": "failed", "error": EVIL}),
        document={"spec": {**good.document["spec"], "model": {"source": EVIL}}},
        data=good.data.model_copy(update={"splits": tuple(splits), "warnings": (EVIL,)}),
        events=[
            each.model_copy(update={"fields": {**each.fields, "what": EVIL, "error": EVIL}}) for each in good.events
        ],
        mistakes=[worst.model_copy(update={"mistakes": tuple(mistakes)})],
        rows=[
            *run_samples.layer_norms(lambda layer, at: 1.0, layers=(EVIL, "head")),
            {"step": 200, "validation": {EVIL: 0.5}, "time": ""},
        ],
        lock=LOCK.model_copy(update={"git_commit": EVIL, "hardware": {EVIL: EVIL}}),
    )


def test_no_text_becomes_markup() -> None:
    read = Read(render(_evil()))

    assert "img" not in [tag for tag, _ in read.tags]
    assert read.text.count("<img src=x>") > 15
    figures = [script for script in read.scripts if script.startswith('{"')]
    assert len(figures) > 8
    assert [script for script in figures if "<" in script or not json.loads(script)] == []
    drawn = json.dumps([json.loads(script) for script in figures])
    assert "<img" not in drawn, "plotly takes some HTML for its own"


def test_the_page_loads_nothing() -> None:
    assert [attrs for _, attrs in GOOD.tags if {"src", "href", "srcset", "action", "data"} & set(attrs)] == []


def test_a_long_run_is_thinned_and_keeps_its_peaks() -> None:
    rows = [{"step": step, "loss": 9.0 if step == 7_777 else 1.0, "learning_rate": 0.1} for step in range(1, 50_001)]

    figure = learning.losses(run_samples.history(rows))

    assert figure is not None
    assert len(figure.data[0].x) <= 2_000
    assert 7_777 in figure.data[0].x


def test_of_many_labels_the_most_frequent_are_drawn() -> None:
    size = 40
    matrix = [[number if row == number else 0 for number in range(size)] for row in range(size)]

    figure = answers.confusion(matrix, [f"label {number}" for number in range(size)])

    assert list(figure.layout.xaxis.ticktext) == [f"label {number}" for number in range(15, 40)]


def test_bins_without_an_answer_are_not_drawn() -> None:
    assert answers.reliability({"counts": [0, 0], "probabilities": [0.0, 0.0], "right": [0.0, 0.0]}) is None


def test_the_restart_is_of_the_attempt_that_it_ended() -> None:
    figure = timeline.attempts(run_samples.good())
    (restart,) = [trace for trace in figure.data if trace.name == "restart"]

    assert list(restart.y) == ["attempt 1"]
    assert list(restart.x) == [pytest.approx(100 / 60)]
