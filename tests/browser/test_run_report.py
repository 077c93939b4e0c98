"""The page of a run in a real browser, without a network: every figure draws, on a desk and on a phone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from eagleray.report.history import History
from eagleray.report.run import render
from tests.browser.pages import DRAWN, opened
from tests.support import run_samples

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize(
    ("history", "figures", "scheme"),
    [
        pytest.param(run_samples.good(), 11, "light", id="good"),
        pytest.param(run_samples.good(), 11, "dark", id="good at night"),
        pytest.param(run_samples.old(), 5, "light", id="of an older version"),
        pytest.param(run_samples.empty(), 1, "light", id="just begun"),
    ],
)
def test_every_figure_draws(
    browser: Browser, tmp_path: Path, history: History, figures: int, scheme: str, width: int
) -> None:
    settings = {"color_scheme": scheme, "viewport": {"width": width, "height": 900}}
    with opened(browser, render(history), tmp_path, **settings) as (page, wrong):
        drawn = [figure.evaluate(DRAWN) for figure in page.query_selector_all(".figure")]
        page_width = page.evaluate("document.documentElement.scrollWidth")

    assert wrong == []
    assert len(drawn) == figures
    assert [each for each in drawn if each["width"] < 300 or each["height"] < 100 or each["shapes"] == 0] == []
    assert page_width == width


def test_texts_of_the_data_are_texts(browser: Browser, tmp_path: Path) -> None:
    with opened(browser, render(run_samples.good()), tmp_path) as (page, wrong):
        texts = page.locator(".mistakes .text").all_text_contents()
        page.hover("#timeline .points path >> nth=-1", force=True)

    assert run_samples.EVIL in texts
    assert wrong == []


def test_the_button_copies_the_document(browser: Browser, tmp_path: Path) -> None:
    permissions = ["clipboard-read", "clipboard-write"]
    with opened(browser, render(run_samples.good()), tmp_path, permissions=permissions) as (page, wrong):
        page.click("[data-copies]")
        page.wait_for_function("() => document.querySelector('[data-copies]').textContent === 'Copied'")
        copied = page.evaluate("navigator.clipboard.readText()")

    assert "learning_rate: 0.0001" in copied
    assert wrong == []
