"""Which function is which step of `data.augment`, and what does it read?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import assert_never

from eagleray.data.augment import noise, order, synonyms
from eagleray.data.draws import Draw
from eagleray.errors import DataError
from eagleray.spec.augment import (
    AugmentSpec,
    BackTranslationSpec,
    DeletionSpec,
    InsertionSpec,
    KeyboardSpec,
    OcrSpec,
    SentencesSpec,
    StepSpec,
    SwapSpec,
    SynonymsSpec,
    SyntaxSpec,
)
from eagleray.spec.data_steps import CONJUNCTIONS, SYNONYMS
from eagleray.store import sources

Change = Callable[[str, Draw], str]
"""One text to another, by random choices."""

Translate = Callable[[list[str]], list[str]]
"""Many texts at once."""


@dataclass(frozen=True, slots=True)
class Step:
    """A step that is ready to be taken: one of the two functions."""

    number: int  # its place in the document
    name: str
    chance: float
    change: Change | None = None
    translate: Translate | None = None


def build(spec: AugmentSpec) -> tuple[Step, ...]:
    """Load what the steps need.

    Raises:
        DataError: a resource is not there, or is none.
    """
    return tuple(_step(number, step, spec.language) for number, step in enumerate(spec.steps))


def resources(spec: AugmentSpec) -> list[Path | str]:
    """The files on this machine that the steps read, and the ids of models of the hub.

    Raises:
        DataError: one is not there; says what to install or to give.
    """
    found: list[Path | str] = []
    for step in spec.steps:
        match step:
            case SynonymsSpec():
                found += synonyms.files(_synonyms(step, spec.language))
            case BackTranslationSpec():
                found += [file for source in (step.there, step.back) for file in _model_files(source)]
    return found


def _step(number: int, spec: StepSpec, language: str) -> Step:
    if isinstance(spec, BackTranslationSpec):
        from eagleray.data.augment.translation import BackTranslation  # brings torch and transformers

        translation = BackTranslation(
            there=spec.there,
            back=spec.back,
            rounds=spec.rounds,
            beams=spec.beams,
            max_new_tokens=spec.max_new_tokens,
            batch_size=spec.batch_size,
        )
        return Step(number, spec.type, spec.chance, translate=translation)
    return Step(number, spec.type, spec.chance, change=_change(spec, language))


def _change(
    spec: SynonymsSpec | SwapSpec | DeletionSpec | InsertionSpec | SentencesSpec | SyntaxSpec | KeyboardSpec | OcrSpec,
    language: str,
) -> Change:
    match spec:
        case SynonymsSpec():
            return synonyms.load(_synonyms(spec, language), rate=spec.rate)
        case SwapSpec():
            return order.Swap(spec.rate)
        case DeletionSpec():
            return order.Deletion(spec.rate)
        case InsertionSpec():
            return order.Insertion(spec.rate)
        case SentencesSpec():
            return order.Sentences()
        case SyntaxSpec():
            return order.Syntax(CONJUNCTIONS[language])
        case KeyboardSpec():
            return noise.Keyboard(spec.rate, spec.layout)
        case OcrSpec():
            return noise.Ocr(spec.rate)
    assert_never(spec)


def _synonyms(step: SynonymsSpec, language: str) -> Path:
    source = step.source or SYNONYMS[language]
    path = Path(sources.resolve(source))
    missing = [file for file in synonyms.files(path) if not file.is_file()]
    if not missing:
        return path
    hint = "install Debian's wordnet-base, or " if source == SYNONYMS["en"] else ""
    raise DataError(
        f"spec.data.augment: no synonyms for {language!r}: {missing[0]} is not there: {hint}give `source`, a directory "
        "of WordNet's files or a file with a group of synonyms a line"
    )


def _model_files(source: str) -> Sequence[Path | str]:
    path = Path(sources.resolve(source))
    if not path.is_dir():
        return [source]
    return sorted(file for file in path.iterdir() if file.suffix in (".safetensors", ".json", ".model"))
