"""How does a trained model label rows for its student? It writes the student's data beside its own run.

The labelled rows stay as they are, each split in a file of its own, so that no pseudo-label is ever evaluated on.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np

from eagleray.data import clean
from eagleray.data.clean import Cleaner
from eagleray.data.digests import Digests
from eagleray.data.formats import SourceRow
from eagleray.data.sources import read_rows, source_fingerprint
from eagleray.data.tokenized import Split
from eagleray.errors import DataError, UserError
from eagleray.flow import pseudo_labels
from eagleray.flow.predict import predict
from eagleray.flow.pseudo_labels import Answers
from eagleray.spec.data import ValidationSpec
from eagleray.spec.document import loads
from eagleray.spec.finetune import FineTune
from eagleray.spec.self_training import SelfTrainingSpec
from eagleray.spec.task import TextClassificationSpec
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
    assert isinstance(spec.task, TextClassificationSpec)
    pair = None if spec.task.text_pair is None else "text_pair"
    soft = "probabilities" if is_soft or spec.task.probabilities is not None else None
    columns = {"text": "text", "text_pair": pair, "label": "label", "probabilities": soft}
    task = spec.task.model_copy(update={**columns, "labels": labels})
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
    names = loaded.task.labels
    columns = _columns(objects, teacher)
    held_out = _answers(objects, teacher, _labelled(loaded.data.validation), columns, names)
    cleaner = clean.cleaner(document.spec.data.clean, document.spec.task.content.texts)
    unlabelled = partial(_unlabelled, settings.unlabeled, loaded, cleaner)
    answers = _answers(objects, teacher, unlabelled(), columns, names)
    limits = pseudo_labels.thresholds(
        answers, num_labels=len(names), threshold=settings.threshold, per_class=settings.per_class
    )
    is_sure = pseudo_labels.sure(answers, limits)
    true = [names.index(row["label"]) for row in _labelled(loaded.data.train)]
    frequencies = np.bincount(true, minlength=len(names)).tolist()
    rows = pseudo_labels.chosen(answers, is_sure, frequencies=frequencies, balance=settings.balance)
    added = _added(unlabelled(), names, rows, answers, is_soft=settings.labels == "soft")
    _write(_folder(objects, teacher, key), loaded, added)
    known = np.array([names.index(row["label"]) for row in _labelled(loaded.data.validation)])
    is_known_sure = pseudo_labels.sure(held_out, limits)
    right = (held_out.labels == known)[is_known_sure]
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
        held_out_accuracy=float(right.mean()) if len(right) else None,
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


def _columns(objects: Objects, teacher: str) -> dict[str, str]:
    """What the teacher's own task calls the texts of a row."""
    task = loads(runs.read_document(objects, teacher), source=paths.document(teacher)).document.spec.task
    assert isinstance(task, TextClassificationSpec)
    return {"text": task.text} | ({"text_pair": task.text_pair} if task.text_pair is not None else {})


def _answers(
    objects: Objects, teacher: str, rows: Iterable[Row], columns: dict[str, str], names: tuple[str, ...]
) -> Answers:
    raw = (SourceRow({column: row[name] for name, column in columns.items()}, "a row") for row in rows)
    numbers = {name: number for number, name in enumerate(names)}
    labels, of_all = [], []
    for answer in predict(objects, teacher, raw):
        labels.append(numbers[answer["label"]])
        of_all.append([answer["probabilities"][name] for name in names])
    chosen, table = np.array(labels, dtype=np.int64), np.array(of_all, dtype=np.float64).reshape(-1, len(names))
    return Answers(chosen, table[np.arange(len(chosen)), chosen], table)


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
        if digest not in seen and read["text"].strip():
            seen.add(digest)
            num_rows += 1
            yield read
    if not num_rows:
        raise DataError(f"spec.self_training.unlabeled: {source} has no row that is not labelled already")


def _added(
    unlabelled: Iterator[Row], labels: tuple[str, ...], rows: np.ndarray, answers: Answers, *, is_soft: bool
) -> Iterator[Row]:
    chosen = set(rows.tolist())
    for number, row in enumerate(unlabelled):
        if number in chosen:
            label = labels[answers.labels[number]]
            added = {**row, "label": label, "is_pseudo": True, "probability": float(answers.probabilities[number])}
            of_all = dict(zip(labels, answers.of_all[number].tolist(), strict=True))
            yield added | {"probabilities": of_all} if is_soft else added


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
