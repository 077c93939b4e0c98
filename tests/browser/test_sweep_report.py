"""The page of a sweep in a real browser, without a network: only there is seen whether its figures draw."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from eagleray.report import sweep as report
from eagleray.report.palette import INK
from eagleray.spec.sweep import ObjectiveSpec
from eagleray.store.sweeps import Sweep
from tests.browser.pages import DRAWN, opened
from tests.support import sweep_samples
from tests.support.sweep_samples import trial

if TYPE_CHECKING:
    from playwright.sync_api import Browser

F1 = ObjectiveSpec(metric="f1_macro", mode="max")
LATENCY = ObjectiveSpec(metric="latency_ms", mode="min")
DOCUMENT = "kind: FineTune\nspec:\n  train: {learning_rate: 0.001}\n"

TITLES = """() => [...document.querySelectorAll("#coordinates .annotation-text-g")].map(each => {
  const box = each.getBoundingClientRect();
  return {text: each.textContent, left: box.left, right: box.right, top: box.top, bottom: box.bottom};
})"""


def _html(sweep: Sweep, *objectives: ObjectiveSpec) -> str:
    return report.render(sweep, run="sms-0003", objectives=objectives or (F1,), constraints=(), best_document=DOCUMENT)


@pytest.mark.parametrize("width", [1280, 700])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(
    ("html", "figures"),
    [
        pytest.param(_html(sweep_samples.asha()), 4, id="asha"),
        pytest.param(_html(sweep_samples.pbt()), 3, id="pbt"),
        pytest.param(_html(sweep_samples.two_objectives(), F1, LATENCY), 5, id="two-objectives"),
        pytest.param(_html(Sweep((trial(0, [0.5, 0.6]),))), 3, id="one-trial"),
        pytest.param(_html(Sweep()), 0, id="no-trials"),
    ],
)
def test_every_figure_draws(browser: Browser, tmp_path: Path, html: str, figures: int, scheme: str, width: int) -> None:
    settings = {"color_scheme": scheme, "viewport": {"width": width, "height": 900}}
    with opened(browser, html, tmp_path, **settings) as (page, wrong):
        drawn = [figure.evaluate(DRAWN) for figure in page.query_selector_all(".figure")]
        page_width = page.evaluate("document.documentElement.scrollWidth")

    assert wrong == []
    assert len(drawn) == figures
    assert [each for each in drawn if each["width"] < 500 or each["height"] < 100 or each["shapes"] == 0] == []
    assert page_width == width


@pytest.mark.parametrize("width", [1280, 700])
def test_no_two_labels_of_the_parallel_axes_overlap(browser: Browser, tmp_path: Path, width: int) -> None:
    viewport = {"width": width, "height": 900}
    with opened(browser, _html(sweep_samples.asha()), tmp_path, viewport=viewport) as (page, _):
        labels = page.evaluate(TITLES)

    assert len(labels) > 20
    assert [(one["text"], other["text"]) for one, other in combinations(labels, 2) if _overlap(one, other)] == []


def _overlap(one: dict[str, float], other: dict[str, float]) -> bool:
    beside = one["right"] <= other["left"] or other["right"] <= one["left"]
    return not beside and one["top"] < other["bottom"] and other["top"] < one["bottom"]


def test_figures_take_the_colours_of_the_night_when_it_comes(browser: Browser, tmp_path: Path) -> None:
    fill = "getComputedStyle(document.querySelector('#curves .legendtext')).fill"
    with opened(browser, _html(sweep_samples.asha()), tmp_path, color_scheme="light") as (page, wrong):
        by_day = page.evaluate(fill)
        page.emulate_media(color_scheme="dark")
        page.wait_for_function(f"() => {fill} !== '{by_day}'")
        by_night = page.evaluate(fill)

    assert (by_day, by_night) == (_rgb(INK.light), _rgb(INK.dark))
    assert wrong == []


def _rgb(colour: str) -> str:
    red, green, blue = bytes.fromhex(colour.removeprefix("#"))
    return f"rgb({red}, {green}, {blue})"


def test_the_button_copies_the_best_configuration(browser: Browser, tmp_path: Path) -> None:
    permissions = ["clipboard-read", "clipboard-write"]
    with opened(browser, _html(sweep_samples.asha()), tmp_path, permissions=permissions) as (page, wrong):
        page.click("[data-copies]")
        page.wait_for_function("() => document.querySelector('[data-copies]').textContent === 'Copied'")
        copied = page.evaluate("navigator.clipboard.readText()")

    assert copied == DOCUMENT
    assert wrong == []


def test_hovering_tells_the_trial(browser: Browser, tmp_path: Path) -> None:
    with opened(browser, _html(sweep_samples.asha()), tmp_path) as (page, wrong):
        star = page.locator("#curves .points path").last
        star.hover(force=True)
        told = page.locator("#curves .hovertext").text_content()

    assert told is not None
    assert "trial 6, finished" in told
    assert "train.learning_rate: 0.0003958" in told
    assert wrong == []
