"""The page over a storage in a real browser: only there is seen whether it draws, leads on, and stays up to date."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

import pytest
import uvicorn

from eagleray.serving.auth import Authority, NoAuth
from eagleray.store import keys, runs
from eagleray.store.key_homes import StoredKeys
from eagleray.store.objects import Objects, open_storage
from eagleray.ui import app
from eagleray.ui.looks import Looks
from tests.support import filled_storage
from tests.support.records import NOW

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> Objects:
    folder = tmp_path_factory.mktemp("ui")
    opened = open_storage(str(folder / "storage"))
    filled_storage.fill(opened, folder / "scratch")
    return opened


@contextmanager
def _served(objects: Objects, authority: Authority | NoAuth) -> Iterator[str]:
    built = app.build(Looks(objects), authority, storage=objects.uri)
    config = uvicorn.Config(
        built, host="127.0.0.1", port=0, log_level="warning", ws="none", timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/"
    finally:
        server.should_exit = True
        thread.join()


@contextmanager
def _opened(browser: Browser, address: str, at: str = "", *, width: int = 1280) -> Iterator[tuple[Page, list[str]]]:
    """The page, and what went wrong on it: errors, and requests to others."""
    with browser.new_context(viewport={"width": width, "height": 900}) as context:
        context.set_default_timeout(20_000)
        page, wrong = context.new_page(), []
        page.on("pageerror", lambda error: wrong.append(f"error: {error}"))
        page.on("console", lambda message: wrong.append(f"{message.type}: {message.text}"))
        page.on("request", lambda each: None if each.url.startswith((address, "data:")) else wrong.append(each.url))
        page.goto(address + at)
        yield page, wrong


def _waits(page: Page, selector: str, text: str) -> None:
    page.wait_for_function("([at, text]) => document.querySelector(at)?.innerText.includes(text)", arg=[selector, text])


def test_from_the_list_to_a_run_a_sweep_and_a_model(browser: Browser, objects: Objects) -> None:
    with _served(objects, NoAuth()) as address, _opened(browser, address) as (page, wrong):
        page.click("text=reviews-0001")
        _waits(page, "h1", "reviews-0001")
        loss = page.locator("figure", has_text="train loss").locator("path.line")
        points = str(loss.get_attribute("d")).count("L")
        page.locator("summary", has_text="Document").click()
        _waits(page, "pre", "kind: FineTune")
        page.click("nav >> text=Runs")
        page.click("text=broken-0001")
        _waits(page, ".trouble:not([hidden])", "<b>out of memory</b>")
        page.click("nav >> text=Sweeps")
        page.click("text=search-0001")
        _waits(page, "main", "the budget of 3 trials is used up")
        trials = page.locator("tbody tr").count()
        lines = page.locator("path.line").count()
        page.click("nav >> text=Models")
        page.click("main >> text=reviews")
        _waits(page, "main", "promote to version 2, from 1")
        _waits(page, "main", "version 2, 10 % of the requests")
        page.click("nav >> text=Endpoints")
        _waits(page, "main", "no endpoint has followed it yet")
        _waits(page, "main", "silent")

    assert (points, trials, lines) == (199, 3, 3)
    assert wrong == []


def test_a_run_that_goes_on_is_followed(browser: Browser, objects: Objects) -> None:
    run = filled_storage.new_going_run(objects, now=datetime.now(UTC))
    with _served(objects, NoAuth()) as address, _opened(browser, address, f"#/runs/{run}") as (page, wrong):
        _waits(page, "#step", "40 of 200")
        filled_storage.write_steps(objects, run, first=41, last=55)
        filled_storage.go_on(objects, run, step=55, now=datetime.now(UTC))
        _waits(page, "#step", "55 of 200")
        _waits(page, "figure:first-of-type", "at step 55")
        runs.save(objects, runs.read(objects, run).model_copy(update={"phase": "stopped"}))
        _waits(page, ".titled", "stopped")

    assert wrong == []


def test_every_part_fits_a_telephone(browser: Browser, objects: Objects) -> None:
    widths = {}
    with _served(objects, NoAuth()) as address, _opened(browser, address, width=390) as (page, wrong):
        for at in ("runs", "runs/reviews-0001", "sweeps/search-0001", "models", "models/reviews", "endpoints"):
            page.goto(f"{address}#/{at}")
            page.wait_for_selector("h1")
            widths[at] = page.evaluate("document.documentElement.scrollWidth")

    assert set(widths.values()) == {390}, widths
    assert wrong == []


def test_a_key_is_asked_for(browser: Browser, objects: Objects) -> None:
    home = StoredKeys(objects)
    key = keys.create(home, "ada", now=NOW, scopes=("admin",)).text
    authority = Authority(partial(keys.load, home))
    with _served(objects, authority) as address, _opened(browser, address) as (page, wrong):
        page.wait_for_selector("#access:not([hidden])")
        page.keyboard.type("er_wrong")
        page.keyboard.press("Enter")
        _waits(page, "#access-note", "was refused")
        page.keyboard.type(key)
        page.keyboard.press("Enter")
        _waits(page, "main", "reviews-0001")
        assert page.evaluate("[...Object.values(sessionStorage), localStorage.length, document.cookie]") == [key, 0, ""]

    assert all("401" in each for each in wrong)  # the browser tells so of each, whatever the page does


def test_what_does_not_answer_is_told(browser: Browser, objects: Objects) -> None:
    with _served(objects, NoAuth()) as address, _opened(browser, address) as (page, _):
        page.wait_for_selector("h1")
        page.route("**/api/**", lambda route: route.abort())
        page.click("nav >> text=Models")
        _waits(page, "#trouble", "eagleray ui does not answer. Trying again.")
        page.unroute("**/api/**")
        _waits(page, "h1", "Models")
        assert page.is_hidden("#trouble")
