"""How does a trained model label rows for its student? It writes the student's data beside its own run.

The labelled rows stay as they are, each split in a file of its own, so that no pseudo-label is ever evaluated on.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from array import array
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import chain, tee
from pathlib import Path
from typing import IO

import numpy as np

from eagleray.data import clean
from eagleray.data.clean import Cleaner
from eagleray.data.digests import Digests
from eagleray.data.formats import SourceRow
from eagleray.data.sources import read_rows, source_fingerprint
from eagleray.data.tokenized import Split
from eagleray.errors import DataError, UserError
from eagleray.flow import labelling, pseudo_labels
from eagleray.flow.labelling import Labelled, Labelling
from eagleray.flow.predict import predict
from eagleray.flow.pseudo_labels import Answers
from eagleray.spec.data import ValidationSpec
from eagleray.spec.document import loads
from eagleray.spec.finetune import FineTune
from eagleray.spec.self_training import SelfTrainingSpec
from eagleray.store import cache, paths, runs, teaching
from eagleray.store.objects import Objects
from eagleray.store.teaching import TeachingRecord
from eagleray.tasks.base import Row
from eagleray.train.inputs import Inputs


def key(settings: SelfTrainingSpec, *, cache_dir: Path) -> str:
    """What tells one choice of rows from another's: the settings that decide on it, and the unlabelled rows."""
    digests = Digests(cache.folder("data", root=cache_dir) / "digests.json")
    facts = settings.model_dump(exclude={"rounds", "unlabeled", *(["labels"] if settings.labels == "hard" else [])})
    facts["rows"] = source_fingerprint(settings.unlabeled, split="train", digests=digests)
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


def student(
    document: FineTune, record: TeachingRecord, *, objects: Objects, key: str, labels: tuple[str, ...], is_soft: bool
) -> FineTune:
    """Return the document of the student, whose data the teacher has written.

    `is_soft`: of a row that the teacher has labelled it learns how probable each label is.
    """
    folder = _folder(objects, record.teacher, key)
    spec = document.spec
    task = labelling.of(spec.task, labels=labels).student(spec.task, labels=labels, is_soft=is_soft)
    data = spec.data.model_copy(
        update={
            "train": str(folder / "train.jsonl"),
            "validation": ValidationSpec(file=str(folder / "validation.jsonl")),
            "test": str(folder / "test.jsonl") if (folder / "test.jsonl").exists() else None,
            "test_fraction": None,
            "keep": {},
        }
    )
    return document.model_copy(
        update={"spec": spec.model_copy(update={"task": task, "data": data, "self_training": None})}
    )


def teach(
    document: FineTune, loaded: Inputs, *, teacher: str, number: int, objects: Objects, key: str
) -> TeachingRecord:
    """Label the rows that the teacher is sure of, for round `number`. The files come first, the report last.

    Raises:
        DataError: a row cannot be read, or there is none that is not labelled already.
    """
    settings = document.spec.self_training
    assert settings is not None
    of_teacher = loads(runs.read_document(objects, teacher), source=paths.document(teacher)).document.spec.task
    teaches = labelling.of(of_teacher, labels=loaded.task.labels)
    names = teaches.classes
    cleaner = clean.cleaner(document.spec.data.clean, document.spec.task.content.texts)
    unlabelled = partial(_unlabelled, settings.unlabeled, loaded, cleaner)
    with tempfile.TemporaryFile("w+", encoding="utf-8") as noted:
        answers = _noted(_labels(objects, teacher, unlabelled(), teaches), noted)
        limits = pseudo_labels.thresholds(
            answers, num_labels=len(names), threshold=settings.threshold, per_class=settings.per_class
        )
        is_sure = pseudo_labels.sure(answers, limits)
        true = [teaches.number(row) for row in _labelled(loaded.data.train)]
        frequencies = np.bincount(true, minlength=len(names)).tolist()
        rows = pseudo_labels.chosen(answers, is_sure, frequencies=frequencies, balance=settings.balance)
        hidden = () if settings.labels == "soft" else ("probabilities",)
        noted.seek(0)
        added = _added(zip(unlabelled(), noted, strict=True), rows, answers, hidden=hidden)
        _write(_folder(objects, teacher, key), loaded, added)
    known = list(_labels(objects, teacher, _labelled(loaded.data.validation), teaches))
    right = [said.columns[teaches.column] == row[teaches.column] for row, said in known if _is_sure(said, limits)]
    record = TeachingRecord(
        teacher=teacher,
        round=number,
        num_labelled=len(true),
        num_unlabelled=len(answers.labels),
        num_sure=int(is_sure.sum()),
        num_added=dict(pseudo_labels.by_label(answers.labels[rows], names)),
        thresholds=dict(zip(names, limits.tolist(), strict=True)),
        num_held_out=len(known),
        num_held_out_sure=len(right),
        held_out_accuracy=sum(right) / len(right) if right else None,
    )
    teaching.put(objects, key, record)
    return record


def _folder(objects: Objects, teacher: str, key: str) -> Path:
    if objects.local_path is None:
        raise UserError(
            f"spec.self_training: the storage {objects.uri} is no directory, and the rows of a student are read as a "
            "file: give a directory that all nodes see, by --storage or spec.storage"
        )
    return objects.local_path / paths.teaching(teacher, key)


def _labels(objects: Objects, teacher: str, rows: Iterable[Row], teaches: Labelling) -> Iterator[tuple[Row, Labelled]]:
    """Rows, and what the teacher makes of each."""
    rows, asked = tee(rows)
    answers = predict(objects, teacher, (SourceRow(teaches.question(row), "a row") for row in asked))
    return ((row, teaches.labelled(row, answer)) for row, answer in zip(rows, answers, strict=True))


def _noted(told: Iterable[tuple[Row, Labelled]], file: IO[str]) -> Answers:
    """Note what each row gets, a line each: a million rows do not fit into memory with it."""
    numbers, probabilities = array("q"), array("d")
    for _, said in told:
        file.write(json.dumps(said.columns, ensure_ascii=False) + "\n")
        numbers.append(said.number)
        probabilities.append(said.probability)
    return Answers(np.array(numbers, dtype=np.int64), np.array(probabilities, dtype=np.float64))


def _is_sure(said: Labelled, limits: np.ndarray) -> bool:
    return bool(said.probability >= limits[said.number])


def _labelled(split: Split) -> Iterator[Row]:
    return (split.row(index) for index in range(len(split)))


def _unlabelled(source: str, loaded: Inputs, cleaner: Cleaner | None) -> Iterator[Row]:
    """Each text once, and none that is labelled: its label is known, or is what the model is judged by."""
    task, data = loaded.task, loaded.data
    splits = [split for split in (data.train, data.validation, data.test) if split is not None]
    seen = {_digest(task.identity(row)) for row in chain.from_iterable(map(_labelled, splits))}
    num_rows = 0
    for row in read_rows(source, split="train"):
        try:
            read = task.read_input(row.raw)
        except ValueError as error:
            raise DataError(f"spec.self_training.unlabeled: {row.place}: {error}") from error
        # The labelled rows are clean: a text that is among them must be known again.
        digest = _digest(task.identity(read if cleaner is None else cleaner.row(read)))
        if digest not in seen and str(read.get("text", task.shown(read))).strip():
            seen.add(digest)
            num_rows += 1
            yield read
    if not num_rows:
        raise DataError(f"spec.self_training.unlabeled: {source} has no row that is not labelled already")


def _added(
    noted: Iterable[tuple[Row, str]], rows: np.ndarray, answers: Answers, *, hidden: tuple[str, ...]
) -> Iterator[Row]:
    chosen = set(rows.tolist())
    for number, (row, line) in enumerate(noted):
        if number in chosen:
            columns = {name: value for name, value in json.loads(line).items() if name not in hidden}
            yield {**row, **columns, "is_pseudo": True, "probability": float(answers.probabilities[number])}


def _write(folder: Path, loaded: Inputs, added: Iterator[Row]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    data = loaded.data
    splits: dict[str, Iterator[Row]] = {
        "train": chain(_labelled(data.train), added),
        "validation": _labelled(data.validation),
    }
    if data.test is not None:
        splits["test"] = _labelled(data.test)
    for name, rows in splits.items():
        with (folder / f"{name}.jsonl").open("w", encoding="utf-8") as file:
            file.writelines(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows)


def _digest(identity: str) -> bytes:
    return hashlib.blake2b(identity.encode(), digest_size=16).digest()
