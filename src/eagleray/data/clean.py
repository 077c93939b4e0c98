"""How is a text made clean? The same steps in the same order in training, in `predict` and at an endpoint."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from eagleray.data import markup, texts
from eagleray.data.encoder import Row
from eagleray.spec.clean import CleanSpec

STEPS = ("html", "unicode", "control", "urls", "mentions", "whitespace")
"""In their order."""

Step = tuple[str, Callable[[str], str]]

_URL = re.compile(r"(?:https?://|ftp://|www\.)[\w\-.~:/?#\[\]@!$&'()*+,;=%]+", re.IGNORECASE | re.ASCII)
_BEHIND_URL = ".,;:!?'\")]"  # ends a sentence rather than an address
_MENTION = re.compile(r"(?<![A-Za-z0-9_@./])@\w{1,50}(?![\w@]|\.\w)")

# Kept of the invisible: the joiners and the tags that emoji and some scripts are written with.
_UNSEEN = re.compile(
    "[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u0084\u0086-\u009f"  # control characters, but tab and line ends
    "\u00ad\u200b\u2060\ufeff\ufff9-\ufffb"  # soft hyphen, spaces of no width, annotation marks
    "\u200e\u200f\u202a-\u202e\u2066-\u2069\u061c]"  # marks of direction
)


@dataclass(frozen=True, slots=True)
class Cleaner:
    """Changes the texts of rows. Immutable and plain, so that any process can be given one."""

    spec: CleanSpec
    keys: tuple[str, ...]  # of canonical rows

    def row(self, row: Row) -> Row:
        """Return the row with clean texts."""
        return texts.changed(row, self.keys, self.text)

    def text(self, text: str) -> str:
        """Return the clean text."""
        for _, change in _steps(self.spec):
            text = change(text)
        return text

    def traced(self, text: str) -> Iterator[tuple[str, str, str]]:
        """Yield (step, before, after) of each step that changes the text."""
        for name, change in _steps(self.spec):
            before, text = text, change(text)
            if before != text:
                yield name, before, text


def cleaner(spec: CleanSpec, keys: tuple[str, ...]) -> Cleaner | None:
    """The cleaner of a document; None where texts stay as they are."""
    return Cleaner(spec, keys) if spec.changes_texts else None


def from_facts(facts: Mapping[str, Any], keys: tuple[str, ...]) -> Cleaner | None:
    """The cleaner of a trained model, by what it has taken along (`CleanSpec.facts`)."""
    return cleaner(CleanSpec.model_validate(dict(facts)), keys)


def _steps(spec: CleanSpec) -> Iterator[Step]:
    if spec.html:
        yield "html", markup.strip
    if spec.unicode != "keep":
        form: Literal["NFC", "NFKC"] = "NFC" if spec.unicode == "nfc" else "NFKC"
        yield "unicode", partial(unicodedata.normalize, form)
    if spec.control:
        yield "control", partial(_UNSEEN.sub, "")
    if spec.urls != "keep":
        token = spec.url_token if spec.urls == "replace" else ""
        yield "urls", partial(_URL.sub, partial(_without_url, token=token))
    if spec.mentions != "keep":
        token = spec.mention_token if spec.mentions == "replace" else ""
        yield "mentions", partial(_MENTION.sub, lambda match: token)
    if spec.whitespace:
        yield "whitespace", _single_spaced


def _without_url(match: re.Match[str], *, token: str) -> str:
    """What stands for an address: the token, and the punctuation that only stood behind it."""
    found = match[0]
    return token + found[len(found.rstrip(_BEHIND_URL)) :]


def _single_spaced(text: str) -> str:
    return " ".join(text.split())
