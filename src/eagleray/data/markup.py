"""What does a text of HTML say? Tags, scripts and comments are left out, entities become characters."""

from __future__ import annotations

import re
from html.parser import HTMLParser

# A space between what browsers set apart: "one<br>two" is two words.
_BLOCKS_WORDS = (
    "address article aside blockquote br dd div dl dt figure footer form h1 h2 h3 h4 h5 h6 header hr li main nav ol p "
    "pre section table td th tr ul"
)
_BLOCKS = frozenset(_BLOCKS_WORDS.split())
_UNSEEN = frozenset(("script", "style", "template"))
_MAY_HOLD_MARKUP = re.compile(r"<[A-Za-z!/?]|&[#\w]")


def strip(text: str) -> str:
    """Return the text without markup. `a < b` and `<3` are none."""
    if not _MAY_HOLD_MARKUP.search(text):
        return text
    parser = _Parser()
    parser.feed(text)
    parser.close()
    return "".join(parser.parts)


class _Parser(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._unseen = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._unseen += tag in _UNSEEN
        self._set_apart(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._set_apart(tag)

    def handle_endtag(self, tag: str) -> None:
        self._unseen = max(0, self._unseen - (tag in _UNSEEN))
        self._set_apart(tag)

    def handle_data(self, data: str) -> None:
        if not self._unseen:
            self.parts.append(data)

    def _set_apart(self, tag: str) -> None:
        if tag in _BLOCKS and self.parts and not self.parts[-1].endswith((" ", "\n")):
            self.parts.append("\n")
