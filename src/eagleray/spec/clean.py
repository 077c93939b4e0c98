"""What is done to texts before anything is learned from them, and which rows are not learned from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from eagleray.spec import languages
from eagleray.spec.base import Conflict, ConflictError, Spec, Text

_TEXT_KEYS = ("html", "unicode", "control", "urls", "url_token", "mentions", "mention_token", "whitespace")
"""What changes a text. A model takes these along: a text to predict is changed as those it learned from were."""

Replacing = Literal["keep", "drop", "replace"]


class CleanSpec(Spec):
    """Cleaning, in this order. The keys up to `whitespace` change the texts of every split and of every prediction;
    those after it leave rows out of the training split alone: what is measured is measured on all rows."""

    html: bool = False
    """Take out tags, scripts and comments, and turn entities (`&amp;`) into what they stand for."""
    unicode: Literal["keep", "nfc", "nfkc"] = "keep"
    """Unicode normal form. `nfc`: one code for one character. `nfkc`: also `①` to `1`, full width to half."""
    control: bool = False
    """Take out what is not seen: control characters, byte order marks, soft hyphens, marks of direction."""
    urls: Replacing = "keep"
    """Addresses of the web: `drop`, or `replace` by `url_token`."""
    url_token: Text = "[URL]"
    """What stands for an address."""
    mentions: Replacing = "keep"
    """Names of users as `@name`: `drop`, or `replace` by `mention_token`. Addresses of mail are none."""
    mention_token: Text = "[USER]"
    """What stands for a name."""
    whitespace: bool = False
    """One space for any white space, and none at the ends."""
    languages: tuple[Text, ...] = ()
    """Learn only from rows in these languages, as told from the text: `[en, de]`. A row whose language cannot be told
    stays."""
    language_confidence: Annotated[float, Field(gt=0, le=1)] = 0.5
    """How sure (0 to 1) the language must be for a row to be left out."""
    min_characters: Annotated[int, Field(ge=1)] | None = None
    """Learn from no row with fewer characters, all its texts together."""
    max_characters: Annotated[int, Field(ge=1)] | None = None
    """Learn from no row with more."""
    duplicates: Literal["keep", "exact", "near"] = "keep"
    """Learn once from equal inputs (`exact`), or from those that are much alike too (`near`)."""
    similarity: Annotated[float, Field(ge=0.5, le=1)] = 0.8
    """From which share of common pieces (of five characters, case and punctuation aside) inputs are much alike."""

    @model_validator(mode="after")
    def _values_fit(self) -> CleanSpec:
        conflicts = list(_conflicts(self))
        if conflicts:
            raise ConflictError(*conflicts)
        return self

    @property
    def changes_texts(self) -> bool:
        """Whether a text may come out otherwise than it went in."""
        replaced = {self.unicode, self.urls, self.mentions} != {"keep"}
        return self.html or self.control or self.whitespace or replaced

    def facts(self) -> dict[str, Any]:
        """What a trained model takes along; {} where texts stay as they are."""
        return self.model_dump(mode="json", include=set(_TEXT_KEYS)) if self.changes_texts else {}

    @property
    def reads_texts(self) -> bool:
        """Whether rows are chosen by what their texts hold."""
        return bool(self.languages or self.min_characters or self.max_characters or self.duplicates == "near")


def _conflicts(spec: CleanSpec) -> Iterator[Conflict]:
    for number, code in enumerate(spec.languages):
        message = languages.refusal(code)
        if message is not None:
            yield Conflict(f"languages[{number}]", message)
    if spec.min_characters and spec.max_characters and spec.max_characters < spec.min_characters:
        told = f"{spec.max_characters} is below min_characters {spec.min_characters}: raise it"
        yield Conflict("max_characters", told)
