"""Time and price of a run, from steps that were measured."""

from __future__ import annotations

from pathlib import Path

import pytest

from eagleray.errors import UserError
from eagleray.flow import duration
from eagleray.spec import document
from eagleray.spec.sweep import SweepSpec
from tests.support import documents


@pytest.fixture
def prices(tmp_path: Path) -> Path:
    path = tmp_path / "prices.yaml"
    path.write_text("H100: 2.9\nA10G: 1\ncpu: 0.04\n", encoding="utf-8")
    return path


def _sweep(section: str) -> SweepSpec:
    text = documents.text(sweep=section)
    found = document.loads(text, source="here").document.spec.sweep
    assert found is not None
    return found


SPACE = "space: {train.learning_rate: {choice: [1.0e-4, 1.0e-3, 1.0e-2]}}"


@pytest.mark.parametrize(
    ("section", "trials", "expected"),
    [
        pytest.param(f"{{{SPACE}, budget: {{trials: 4}}, scheduler: {{type: fifo}}}}", 4, 400, id="nothing-stops"),
        pytest.param(
            f"{{{SPACE}, search: {{type: grid}}, budget: {{trials: 10}}, scheduler: {{type: fifo}}}}",
            3,
            300,
            id="a-grid-has-no-more",
        ),
        pytest.param(
            f"{{{SPACE}, budget: {{trials: 4, steps: 250}}, scheduler: {{type: fifo}}}}", 4, 250, id="bounded-by-steps"
        ),
    ],
)
def test_sweep_size(section: str, trials: int, expected: int) -> None:
    found = duration.sweep_size(_sweep(section), 100, steps_per_epoch=50)

    assert found is not None
    assert (found.trials, found.steps_each, found.steps, found.expected_steps) == (trials, 100, trials * 100, expected)


@pytest.mark.parametrize(
    ("final", "expected"),
    [("null", 0), ("{with_validation: false}", 100), ("{epochs: 3, with_validation: false}", 150)],
    ids=["none", "as-long-as-a-trial", "in-epochs"],
)
def test_the_last_run_of_a_sweep(final: str, expected: int) -> None:
    section = f"{{{SPACE}, budget: {{trials: 4}}, final: {final}}}"

    found = duration.sweep_size(_sweep(section), 100, steps_per_epoch=50)

    assert found is not None
    assert found.final_steps == expected


def test_asha_is_expected_to_prune() -> None:
    found = duration.sweep_size(
        _sweep(f"{{{SPACE}, budget: {{trials: 30}}, scheduler: {{type: asha}}}}"), 900, steps_per_epoch=50
    )

    assert found is not None
    assert found.steps == 27_000
    assert 0.2 < found.expected_steps / found.steps < 0.6


@pytest.mark.parametrize("name", ["H100", "h100"])
def test_price(prices: Path, name: str) -> None:
    assert duration.price_an_hour(prices, name) == 2.9


def test_unknown_accelerator(prices: Path) -> None:
    with pytest.raises(UserError, match=r"prices\.yaml: it has no T4, only H100, A10G, cpu: add it, .*--accelerator"):
        duration.price_an_hour(prices, "T4")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        pytest.param("", "a line a device is wanted", id="empty"),
        pytest.param("- H100\n", "a line a device is wanted", id="list"),
        pytest.param("H100: cheap\n", "H100: cheap: a price is a number", id="word"),
        pytest.param("H100: -1\n", "H100: -1: a price is a number", id="negative"),
        pytest.param("H100: .nan\n", "a price is a number", id="nan"),
        pytest.param("H100: [\n", r"prices\.yaml:2: not YAML", id="broken"),
        pytest.param("a: &x [1]\nb: *x\n", "anchors and aliases are not allowed", id="aliases"),
    ],
)
def test_bad_table(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "prices.yaml"
    path.write_text(text, encoding="utf-8")

    with pytest.raises(UserError, match=says):
        duration.price_an_hour(path, "H100")


def test_no_table(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        duration.price_an_hour(tmp_path / "none.yaml", "H100")
