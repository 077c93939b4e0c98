"""Metrics of the user's own: where their names hold, where their code is, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from eagleray.errors import DocumentError
from eagleray.flow import staging
from eagleray.spec import document, locations
from tests.support import documents

COST = "[{name: cost, type: function, source: 'mine.py:cost'}]"
TRANSLATION = "{type: seq2seq, preset: translation}"


@pytest.mark.parametrize(
    "sections",
    [
        pytest.param({"checkpoint": "{best_by: {metric: cost, mode: min}}"}, id="best checkpoint"),
        pytest.param({"train": "{early_stopping: {metric: cost, mode: min}}"}, id="early stopping"),
        pytest.param({"train": "{schedule: {type: reduce-on-plateau, metric: cost, mode: min}}"}, id="schedule"),
        pytest.param({"promote": "{when: {metric: cost, mode: min, at_most: 1}}"}, id="gate"),
        pytest.param(
            {
                "sweep": "{space: {train.learning_rate: {uniform: [1e-5, 1e-4]}}, budget: {trials: 2}, "
                "objectives: [{metric: cost, mode: min}], constraints: [{metric: cost, at_most: 3}]}"
            },
            id="sweep",
        ),
        pytest.param(
            {"task": TRANSLATION, "promote": "{when: {metric: cost, mode: min, at_most: 1}}"}, id="gate on texts"
        ),
    ],
)
def test_names_hold_where_metrics_are_named(sections: dict[str, str]) -> None:
    loaded = document.loads(documents.text(metrics=COST, **sections), source="a.yaml")

    assert [each.name for each in loaded.document.spec.metrics] == ["cost"]


@pytest.mark.parametrize(
    ("metrics", "sections", "message"),
    [
        pytest.param("[{name: loss, type: function, source: 'm:f'}]", {}, "reports loss already", id="taken"),
        pytest.param(
            "[{name: a, type: function, source: 'm:f'}, {name: a, type: evaluate, source: b}]",
            {},
            r"spec.metrics\[1\].name: another metric is called a",
            id="twice",
        ),
        pytest.param("[{name: a, type: function, source: mine.py}]", {}, "`file.py:function` or", id="no function"),
        pytest.param(
            "[{name: A-b, type: function, source: 'm:f'}]", {}, "lower-case letters, digits and `_`", id="name"
        ),
        pytest.param(COST, {"task": "{type: masked-lm}"}, "nothing of a row .* leave them out", id="masked-lm"),
        pytest.param(
            COST, {"task": "{type: seq2seq, generate_for: []}"}, "say in task.generate_for", id="no texts are written"
        ),
        pytest.param(
            COST,
            {"task": TRANSLATION, "checkpoint": "{best_by: {metric: cost, mode: min}}"},
            "`cost` is not reported",
            id="texts come at the end",
        ),
        pytest.param(
            COST, {"checkpoint": "{best_by: {metric: costs, mode: min}}"}, "did you mean `cost`", id="misspelled"
        ),
    ],
)
def test_what_is_refused(metrics: str, sections: dict[str, str], message: str) -> None:
    with pytest.raises(DocumentError, match=message):
        document.loads(documents.text(metrics=metrics, **sections), source="a.yaml")


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        pytest.param("type: function, source: 'mine.py:cost'", "{base}/mine.py:cost", id="file"),
        pytest.param("type: function, source: 'other.py:cost'", "{base}/other.py:cost", id="file that is not there"),
        pytest.param("type: function, source: 'mine:cost'", "{base}/mine.py:cost", id="module beside the document"),
        pytest.param("type: function, source: 'sklearn.metrics:f1_score'", "sklearn.metrics:f1_score", id="installed"),
        pytest.param("type: evaluate, source: kappa", "{base}/kappa", id="folder"),
        pytest.param("type: evaluate, source: mine.py", "{base}/mine.py", id="script"),
        pytest.param("type: evaluate, source: accuracy", "accuracy", id="hub"),
        pytest.param("type: evaluate, source: owner/accuracy", "owner/accuracy", id="hub, with owner"),
    ],
)
def test_where_the_code_is(tmp_path: Path, metric: str, expected: str) -> None:
    (tmp_path / "mine.py").write_text("")
    (tmp_path / "kappa").mkdir()
    text = documents.text(metrics=f"[{{name: cost, {metric}}}]")
    absolute = locations.absolute(document.loads(text, source="a.yaml").document, tmp_path)

    assert absolute.spec.metrics[0].source == expected.format(base=tmp_path)


def test_code_travels_with_a_job(tmp_path: Path) -> None:
    folder, home = tmp_path / "job", tmp_path / "home"
    for each in (folder, home / "data", home / "kappa"):
        each.mkdir(parents=True)
    for file in ("mine.py", "kappa/kappa.py", "data/train.jsonl"):
        (home / file).write_text(file)
    metrics = f"{COST[:-1]}, {{name: kappa, type: evaluate, source: kappa}}]"
    resolved = locations.absolute(document.loads(documents.text(metrics=metrics), source="a.yaml").document, home)

    staging.stage(resolved, folder)

    unpacked = locations.absolute(document.load(folder / staging.DOCUMENT).document, folder)
    function, kappa = (each.source for each in unpacked.spec.metrics)
    assert Path(function.removesuffix(":cost")).read_text() == "mine.py"
    assert (Path(kappa) / "kappa.py").read_text() == "kappa/kappa.py"
