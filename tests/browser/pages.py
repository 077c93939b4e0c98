"""A page that was written to a file, in a real browser without a network."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

DRAWN = """figure => {
  const drawn = ".cartesianlayer .trace path, .cartesianlayer .point path, .heatmaplayer image";
  const shapes = [...figure.querySelectorAll(drawn)].map(path => path.getBoundingClientRect());
  const box = figure.querySelector(".main-svg").getBoundingClientRect();
  const seen = shapes.filter(each => each.width && each.height).length;
  return {id: figure.id, width: box.width, height: box.height, shapes: seen};
}"""


@contextmanager
def opened(browser: Browser, html: str, folder: Path, **settings: Any) -> Iterator[tuple[Page, list[str]]]:
    """The page, and what went wrong on it: errors, and requests for anything but the file."""
    file = folder / "report.html"
    file.write_text(html, encoding="utf-8")
    context = browser.new_context(offline=True, **settings)
    page, wrong = context.new_page(), []
    page.on("pageerror", lambda error: wrong.append(f"error: {error}"))
    page.on("console", lambda message: wrong.append(f"{message.type}: {message.text}"))
    page.on("request", lambda request: wrong.append(request.url) if _is_foreign(request.url, file) else None)
    page.goto(file.as_uri())
    yield page, wrong
    context.close()


def _is_foreign(url: str, file: Path) -> bool:
    return url != file.as_uri() and not url.startswith("data:")
