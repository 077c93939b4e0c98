"""Metrics of the user's own see every row once, in order, in bounded memory; what is wrong with them is told."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter
from sklearn.metrics import cohen_kappa_score

from eagleray.errors import UserError
from eagleray.metrics import own
from eagleray.metrics.pairs import Pairs, Writer
from eagleray.spec.metrics import MetricSpec

FUNCTIONS = """
from sklearn.metrics import cohen_kappa_score


def kappa(said, true):
    return cohen_kappa_score(list(true), list(said))


def cost(said, true, missed=1.0):
    return sum(missed for one, other in zip(said, true) if one != other) / len(true)


def two(said, true):
    return {"rows": len(true), "first": float(said[0] == true[0])}


def fails(said, true):
    return 1 / 0


def words(said, true):
    return "many"


def undefined(said, true):
    return float("nan")
"""

SCRIPT = """
import datasets
import evaluate


class Agreement(evaluate.Metric):
    def _info(self):
        number = datasets.Value("int32")
        several = datasets.Sequence(number)
        kind = several if self.config_name == "multilabel" else number
        return evaluate.MetricInfo(
            description="",
            citation="",
            inputs_description="",
            features=datasets.Features({"predictions": kind, "references": kind}),
        )

    def _compute(self, predictions, references, scale=1):
        right = [list(one) == list(other) if isinstance(one, list) else one == other
                 for one, other in zip(predictions, references)]
        return {"agreement": scale * sum(right) / len(right), "largest": max(map(str, references))}
"""

SAID = ["ham", "spam", "ham", "ham", "spam", "eggs"]
TRUE = ["ham", "spam", "spam", "ham", "ham", "eggs"]
LABELS = ("eggs", "ham", "spam")


def specs(*metrics: dict[str, Any]) -> tuple[MetricSpec, ...]:
    return tuple(TypeAdapter[MetricSpec](MetricSpec).validate_json(json.dumps(each)) for each in metrics)


def pairs_of(folder: Path, said: list[Any], true: list[Any]) -> Pairs:
    writer = Writer(folder / "rows.jsonl")
    for index in reversed(range(len(said))):
        writer.add(index, said[index], true[index])
    (folder / "all.jsonl").write_bytes(b"".join(writer.blocks()))
    return Pairs(folder / "all.jsonl", num_rows=len(said))


@pytest.fixture
def functions(tmp_path: Path) -> Path:
    file = tmp_path / "functions.py"
    file.write_text(FUNCTIONS)
    return file


@pytest.mark.parametrize(
    ("function", "more", "expected"),
    [
        pytest.param("kappa", {}, cohen_kappa_score(TRUE, SAID), id="a number of numpy"),
        pytest.param("cost", {"options": {"missed": 3.0}}, 1.0, id="options"),
        pytest.param("two", {"result": "rows"}, 6.0, id="one of several"),
    ],
)
def test_a_function_is_asked(
    functions: Path, tmp_path: Path, function: str, more: dict[str, Any], expected: float
) -> None:
    [metric] = own.build(specs({"type": "function", "name": "mine", "source": f"{functions}:{function}", **more}))

    assert metric.number(pairs_of(tmp_path, SAID, TRUE), labels=LABELS, scratch=tmp_path) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("config", "said", "true", "expected"),
    [
        pytest.param(None, SAID, TRUE, 4 / 6 * 2, id="labels become numbers"),
        pytest.param("multilabel", [["ham"], []], [["ham"], ["eggs"]], 1 / 2 * 2, id="sets become zeros and ones"),
    ],
)
def test_a_metric_of_evaluate_is_asked(
    tmp_path: Path, config: str | None, said: list[Any], true: list[Any], expected: float
) -> None:
    script = tmp_path / "agreement.py"
    script.write_text(SCRIPT)
    [metric] = own.build(
        specs(
            {
                "type": "evaluate",
                "name": "mine",
                "source": str(script),
                "config": config,
                "result": "agreement",
                "options": {"scale": 2},
            }
        )
    )

    found = metric.number(pairs_of(tmp_path, said, true), labels=LABELS, scratch=tmp_path)

    assert found == pytest.approx(expected)


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        pytest.param({"source": "{file}:costs"}, r"has no function costs; its functions: .*cost, fails", id="no such"),
        pytest.param({"source": "/nowhere/mine.py:cost"}, r"metrics\[0\].source: there is no file", id="no file"),
        pytest.param({"source": "no_such_module:cost"}, "no_such_module cannot be imported", id="module"),
        pytest.param({"source": "{file}:fails"}, r"raised ZeroDivisionError: .*functions.py:18.*6 rows", id="raises"),
        pytest.param({"source": "{file}:words"}, "returned 'many' and must return a finite number", id="no number"),
        pytest.param({"source": "{file}:undefined"}, "returned nan and must return a finite number", id="nan"),
        pytest.param({"source": "{file}:two"}, "returned no mine, but rows, first: name one", id="which of several"),
        pytest.param({"source": "{file}:kappa", "result": "x"}, r"metrics\[0\].result: .*no x: leave", id="not many"),
        pytest.param(
            {"type": "evaluate", "source": "accuracy"}, r"metrics\[0\].allow_remote_code: accuracy is no file", id="hub"
        ),
        pytest.param({"type": "evaluate", "source": "/nowhere/mine"}, "no /nowhere/mine/mine.py", id="no script"),
    ],
)
def test_what_is_wrong_is_told(functions: Path, tmp_path: Path, metric: dict[str, Any], message: str) -> None:
    named = {"type": "function", "name": "mine", **metric, "source": metric["source"].format(file=functions)}
    with pytest.raises(UserError, match=message):
        [built] = own.build(specs(named))
        built.number(pairs_of(tmp_path, SAID, TRUE), labels=LABELS, scratch=tmp_path)


def test_rows_lie_in_a_file_and_not_in_memory(tmp_path: Path) -> None:
    """10,000 rows of two texts of 4,000 characters: 80 MB."""
    num_rows = 10_000
    tracemalloc.start()
    writer = Writer(tmp_path / "rows.jsonl")
    for index in range(num_rows):
        writer.add(index, f"{index:04000}", f"{index + index % 2:04000}")
    with (tmp_path / "all.jsonl").open("wb") as file:
        file.writelines(writer.blocks())
    pairs = Pairs(tmp_path / "all.jsonl", num_rows=num_rows)
    same = sum(one == other for one, other in zip(pairs.said, pairs.true, strict=True))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert same == num_rows // 2
    assert peak < 8 * 2**20


def test_a_missing_row_is_no_silent_one(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "rows.jsonl")
    writer.add(1, "a", "b")
    (tmp_path / "all.jsonl").write_bytes(b"".join(writer.blocks()))

    with pytest.raises(ValueError, match="1 of 2 rows"):
        Pairs(tmp_path / "all.jsonl", num_rows=2)
