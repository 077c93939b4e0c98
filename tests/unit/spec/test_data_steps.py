"""What the data steps refuse: by task, by language, by one another; each with its place and what is allowed."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from eagleray.errors import DocumentError
from eagleray.spec import document, languages, locations
from eagleray.spec.data import resources
from tests.support import documents

CHAT = "{type: causal-lm, format: chat}"
COMPLETION = "{type: causal-lm, format: completion}"
LABELLED = "{type: text-classification, labels: [a, b]}"
REGRESSION = "{type: text-classification, problem: regression}"


def found(**sections: str) -> list[str]:
    try:
        document.loads(documents.text(**sections), source="a.yaml")
    except DocumentError as error:
        return [f"{finding.path}: {finding.message}" for finding in error.findings]
    return []


def data(steps: str) -> str:
    return f"{{train: a.csv, {steps}}}"


@pytest.mark.parametrize(
    ("sections", "place", "told"),
    [
        ({"data": data("clean: {languages: [en, deu]}")}, "spec.data.clean.languages[1]", "did you mean `de`?"),
        ({"data": data("clean: {languages: [english]}")}, "spec.data.clean.languages[0]", "Allowed are ace, af, am"),
        (
            {"data": data("clean: {min_characters: 9, max_characters: 3}")},
            "spec.data.clean.max_characters",
            "3 is below min_characters 9: raise it",
        ),
        (
            {"task": REGRESSION, "data": data("few_shot: {per_class: 3}")},
            "spec.data.few_shot",
            "rows of regression have not one",
        ),
        (
            {"task": CHAT, "data": data("balance: {type: oversample}")},
            "spec.data.balance.by",
            "`language` is what can be",
        ),
        ({"data": data("balance: {type: temperature}")}, "spec.data.balance.by", "needs `data.language`"),
        ({"data": data("train_languages: [en]")}, "spec.data.train_languages", "needs `data.language`"),
        ({"task": CHAT, "data": data("augment: {steps: [{type: swap}]}")}, "spec.data.augment", "learns to say"),
        (
            {"task": "{type: seq2seq}", "data": data("augment: {steps: [{type: swap}]}")},
            "spec.data.augment",
            "wants another target",
        ),
        ({"data": data("augment: {language: xx, steps: [{type: swap}]}")}, "spec.data.augment.language", "no language"),
        (
            {"data": data("augment: {language: de, steps: [{type: swap}, {type: synonyms}]}")},
            "spec.data.augment.steps[1].type",
            "no synonyms for `de` here: they are for en and zh. Give `source`",
        ),
        (
            {"data": data("augment: {language: ja, steps: [{type: syntax}]}")},
            "spec.data.augment.steps[0].type",
            "knows sentences in en, de, es, fr, it, nl, pt, zh, not in `ja`",
        ),
        (
            {"data": data("augment: {language: zh, steps: [{type: keyboard}]}")},
            "spec.data.augment.steps[0].type",
            "take `ocr` or leave it out",
        ),
        ({"data": data("augment: {steps: []}")}, "spec.data.augment.steps", "at least 1"),
        ({"task": CHAT, "train": "{loss: {type: focal}}"}, "spec.train.loss", "leave it out for causal-lm"),
        (
            {
                "task": "{type: text-classification, labels: [a, b]}",
                "train": "{loss: {type: focal, weights: {c: 2.0}}}",
            },
            "spec.train.loss.weights.c",
            "is not in task.labels (a, b)",
        ),
        (
            {"train": "{loss: {type: cross-entropy, class_weights: balanced, weights: {a: 2.0}}}"},
            "spec.train.loss.weights",
            "exclude each other",
        ),
    ],
)
def test_refused(sections: dict[str, str], place: str, told: str) -> None:
    (finding,) = found(**sections)
    assert finding.startswith(f"{place}: ")
    assert told in finding


@pytest.mark.parametrize(
    "sections",
    [
        {"task": CHAT, "data": data("clean: {html: true, languages: [en], duplicates: near}")},
        {"task": COMPLETION, "data": data("augment: {steps: [{type: keyboard}]}")},
        {"task": REGRESSION, "data": data("augment: {steps: [{type: swap}]}")},
        {
            "task": CHAT,
            "data": data("language: a, train_languages: [en], balance: {type: oversample, by: language}"),
        },
        {"data": data("augment: {language: de, steps: [{type: synonyms, source: groups.txt}]}")},
        {"train": "{loss: {type: cross-entropy, class_weights: balanced}}"},
    ],
)
def test_allowed(sections: dict[str, str]) -> None:
    assert found(**sections) == []


def test_a_task_whose_targets_are_at_places_in_the_text_keeps_it() -> None:
    text = documents.text(task="{type: token-classification}", data=data("clean: {html: true}"))
    with pytest.raises(DocumentError) as raised:
        document.loads(text, source="a.yaml")
    assert "spec.data.clean" in str(raised.value)
    assert "refer to places in the text" in str(raised.value)


@pytest.mark.skipif(importlib.util.find_spec("py3langid") is None, reason="py3langid is not installed")
def test_the_languages_are_those_that_can_be_told() -> None:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    assert set(languages.TELLABLE) == set(LanguageIdentifier.from_model_file(MODEL_FILE).labels)


def test_paths_of_resources_are_absolute() -> None:
    translation = "{type: back-translation, there: owner/en-de, back: ./de-en}"
    steps = f"augment: {{steps: [{translation}, {{type: synonyms, source: g.txt}}]}}"
    loaded = document.loads(documents.text(data=data(steps)), source="a.yaml").document
    assert resources(locations.absolute(loaded, Path("/base")).spec.data) == {
        "spec.data.augment.steps[0].there": "owner/en-de",
        "spec.data.augment.steps[0].back": "/base/de-en",
        "spec.data.augment.steps[1].source": "/base/g.txt",
    }
