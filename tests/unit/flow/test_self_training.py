"""A teacher labels rows for its student, who is trained as long as that helps; what is done is not done again."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from eagleray.errors import DataError
from eagleray.flow import self_training, teaching
from eagleray.flow.self_training import Rounds
from eagleray.model import sources
from eagleray.spec.document import dump, loads
from eagleray.spec.finetune import FineTune, FineTuneSpec
from eagleray.store import paths, runs
from eagleray.store.objects import Objects, open_storage
from eagleray.store.runs import RunRecord
from eagleray.store.teaching import TeachingRecord
from eagleray.train import inputs
from tests.support import training
from tests.support.trained_runs import new_trained_run

LABELS = ("bad", "good")


@dataclass
class World:
    """A storage, a document, and students that reach what they are told to."""

    objects: Objects
    document: FineTune
    cache: Path
    scratch: Path
    scores: list[float] = field(default_factory=list)
    done: list[str] = field(default_factory=list)

    def walk(self, **given: Any) -> RunRecord | None:
        rounds = Rounds(self.document, objects=self.objects, cache_dir=self.cache)

        def teach(teacher: RunRecord, number: int) -> TeachingRecord:
            self.done.append(f"teach {number}")
            return teaching.teach(
                self.document,
                rounds.inputs,
                teacher=teacher.run,
                number=number,
                objects=self.objects,
                key=rounds.key,
            )

        return rounds.walk(**{"train": self.train, "teach": teach, "outdo": self.outdo, **given})

    def outdo(self, student: RunRecord, teacher: RunRecord) -> RunRecord:
        outdone = student.model_copy(update={"outdone_by": teacher.run})
        runs.save(self.objects, outdone)
        return outdone

    def train(self, document: FineTune) -> RunRecord:
        """A run that has succeeded, with a random model of its own and the next score."""
        loaded = inputs.load(document.spec, cache_dir=self.cache)
        run = new_trained_run(
            self.objects,
            self.scratch,
            task=document.spec.task.model_dump(mode="json"),
            labels=loaded.task.labels,
            name="test",
            seed=len(self.done),
        )
        self.objects.put(paths.document(run), dump(document).encode())
        lock = runs.read_lock(self.objects, run).model_copy(
            update={
                "data_fingerprint": loaded.data.fingerprint,
                "model_sha256": sources.sha256(document.spec.model.source),
            }
        )
        self.objects.put(paths.lock(run), lock.model_dump_json().encode())
        record = runs.read(self.objects, run).model_copy(
            update={"phase": "succeeded", "metrics": {"validation": {loaded.task.main_metric[0]: self.scores.pop(0)}}}
        )
        runs.save(self.objects, record)
        self.done.append("train")
        return record


@pytest.fixture
def world(tmp_path: Path) -> Callable[..., World]:
    def world(*scores: float, **settings: Any) -> World:
        base = tmp_path / "base"
        training.write_reviews(tmp_path / "rows.jsonl", num_rows=40)
        with (tmp_path / "unlabelled.jsonl").open("w") as file:
            file.writelines(json.dumps({"text": f"a film of {number}"}) + "\n" for number in range(30))
        objects = open_storage(str(tmp_path / "runs"))
        if not base.exists():
            new_trained_run(objects, tmp_path, task={"type": "text-classification"}, labels=LABELS, name="first")
        unlabeled = str(tmp_path / "unlabelled.jsonl")
        document = training.document(
            base,
            tmp_path / "rows.jsonl",
            self_training={"unlabeled": unlabeled, "threshold": 0.01, "balance": "none", **settings},
        )
        return World(objects, document, tmp_path / "cache", tmp_path, list(scores))

    return world


@pytest.mark.parametrize(
    ("scores", "expected", "done"),
    [
        ([0.5, 0.6, 0.7], "test-0003", ["train", "teach 1", "train", "teach 2", "train"]),
        ([0.5, 0.6, 0.6], "test-0002", ["train", "teach 1", "train", "teach 2", "train"]),
        ([0.5, 0.4], "test-0001", ["train", "teach 1", "train"]),
    ],
    ids=["to the last round", "no better", "worse"],
)
def test_goes_on_while_it_helps(
    world: Callable[..., World], scores: list[float], expected: str, done: list[str]
) -> None:
    there = world(*scores, rounds=2)

    chosen = there.walk()

    assert chosen is not None and chosen.run == expected
    assert there.done == done
    found = self_training.found(there.document, objects=there.objects, cache_dir=there.cache)
    assert found == chosen, "what is done is found"
    assert runs.find(there.objects, "test").run == expected, "it is what the name means to predict and register"


def test_goes_on_where_it_was_killed(world: Callable[..., World]) -> None:
    there = world(0.5, 0.6, rounds=1)

    def killed(document: FineTune) -> RunRecord:
        if there.done:
            raise KeyboardInterrupt
        return there.train(document)

    with pytest.raises(KeyboardInterrupt):
        there.walk(train=killed)
    assert self_training.found(there.document, objects=there.objects, cache_dir=there.cache) is None

    chosen = there.walk()

    assert chosen is not None and chosen.run == "test-0002"
    assert there.done == ["train", "teach 1", "train"]


def test_to_look_what_is_done_writes_nothing(world: Callable[..., World]) -> None:
    there = world(0.5, 0.4, rounds=1)

    def killed(student: RunRecord, teacher: RunRecord) -> RunRecord:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        there.walk(outdo=killed)
    before = runs.read(there.objects, "test-0002")
    found = self_training.found(there.document, objects=there.objects, cache_dir=there.cache)

    assert found is None, "that the student is no better is still to be written"
    assert runs.read(there.objects, "test-0002") == before
    chosen = there.walk()
    assert chosen is not None and chosen.run == "test-0001"
    assert there.done == ["train", "teach 1", "train"]
    assert runs.find(there.objects, "test").run == "test-0001"


def test_true_labels_stay_apart(world: Callable[..., World]) -> None:
    there = world(0.5, 0.6, rounds=1)

    there.walk()

    rounds = Rounds(there.document, objects=there.objects, cache_dir=there.cache)
    folder = there.objects.local_path / paths.teaching("test-0001", rounds.key)  # type: ignore[operator]
    rows = {name: _rows(folder / f"{name}.jsonl") for name in ("train", "validation")}
    assert [len(rows["validation"]), sum("is_pseudo" not in row for row in rows["train"])] == [8, 32]
    assert sum(row.get("is_pseudo", False) for row in rows["train"]) == 30
    assert not any("is_pseudo" in row for row in rows["validation"])
    student = runs.read_document(there.objects, "test-0002")
    assert str(folder / "train.jsonl") in student and "unlabeled" not in student


def test_soft_labels_are_what_the_student_learns_from(world: Callable[..., World]) -> None:
    there = world(0.5, 0.6, rounds=1, labels="soft")

    there.walk()

    rounds = Rounds(there.document, objects=there.objects, cache_dir=there.cache)
    folder = there.objects.local_path / paths.teaching("test-0001", rounds.key)  # type: ignore[operator]
    pseudo = [row for row in _rows(folder / "train.jsonl") if row.get("is_pseudo")]
    assert pseudo and all(row["probabilities"].keys() == set(LABELS) for row in pseudo)
    assert all(row["probabilities"][row["label"]] == max(row["probabilities"].values()) for row in pseudo)
    student = loads(runs.read_document(there.objects, "test-0002"), source="student").document
    loaded = inputs.load(student.spec, cache_dir=there.cache)
    sample = loaded.data.train.samples(np.array([len(loaded.data.train) - 1]))[0]
    assert sample["probabilities"].sum() == pytest.approx(1.0) and sample["probabilities"].max() < 1.0


@pytest.mark.parametrize("form", ["words", "spans"])
def test_tags_are_learned_from_a_teacher(world: Callable[..., World], form: str) -> None:
    there = tagging(world(0.5, 0.6, rounds=1), form)

    chosen = there.walk()

    assert chosen is not None and chosen.run == "test-0002"
    rounds = Rounds(there.document, objects=there.objects, cache_dir=there.cache)
    folder = there.objects.local_path / paths.teaching("test-0001", rounds.key)  # type: ignore[operator]
    column, text = ("tags", "words") if form == "words" else ("spans", "text")
    pseudo = [row for row in _rows(folder / "train.jsonl") if row.get("is_pseudo")]
    assert len(pseudo) == 20
    assert all(row.keys() == {text, column, "is_pseudo", "probability"} for row in pseudo)
    assert any(row[column] for row in pseudo)
    record = TeachingRecord.model_validate_json((folder / "teaching.json").read_text(encoding="utf-8"))
    assert record.num_added.keys() == {"with entities", "without"}
    assert sum(record.num_added.values()) == 20
    assert record.num_held_out_sure == record.num_held_out == 8
    assert record.held_out_accuracy is not None and 0 <= record.held_out_accuracy <= 1


def tagging(there: World, form: str) -> World:
    """The same, of films that are named in texts."""
    rows: list[dict[str, Any]]
    if form == "words":
        rows = [{"words": ["see", "film", str(n)], "tags": ["O", "B-film", "I-film"]} for n in range(40)]
        unlabelled = [{"words": ["a", "film", f"of {n}"]} for n in range(20)]
    else:
        rows = [{"text": f"see film {n}", "spans": [{"start": 4, "end": 8, "label": "film"}]} for n in range(40)]
        unlabelled = [{"text": f"a film of {n}"} for n in range(20)]
    for name, written in (("rows", rows), ("unlabelled", unlabelled)):
        lines = [json.dumps(row) + "\n" for row in written]
        (there.scratch / f"{name}.jsonl").write_text("".join(lines), encoding="utf-8")
    spec = there.document.spec.model_dump(mode="json") | {"task": {"type": "token-classification", "format": form}}
    there.document = there.document.model_copy(update={"spec": FineTuneSpec.model_validate_json(json.dumps(spec))})
    return there


def test_rows_that_are_labelled_are_not_labelled_again(world: Callable[..., World]) -> None:
    there = world(0.5, rounds=1)
    rows = there.document.spec.data.train
    settings = there.document.spec.self_training.model_copy(update={"unlabeled": rows})  # type: ignore[union-attr]
    spec = there.document.spec.model_copy(update={"self_training": settings})
    there.document = there.document.model_copy(update={"spec": spec})

    with pytest.raises(DataError, match="no row that is not labelled already"):
        there.walk()


def test_a_teacher_that_is_sure_of_nothing_stays(world: Callable[..., World]) -> None:
    there = world(0.5, rounds=2, threshold=0.999)

    chosen = there.walk()

    assert chosen is not None and chosen.run == "test-0001"


def _rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
