"""A tiny model without dropout and a few rows of every task, for the matrix of tasks, methods and ZeRO stages."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tests.support import tiny_images, tiny_models, training

NUM_ROWS = 50


def sections(task: str, folder: Path) -> tuple[Path, Path, dict[str, dict[str, Any]]]:
    """Model, rows and sections of a document, of what `write` has written to `folder`."""
    if task == "multi-task":
        members = [
            {
                "name": name,
                "task": {"type": kind},
                "data": {"train": str(_rows(folder / kind)), "validation": {"fraction": 0.2}},
            }
            for name, kind in _MEMBERS.items()
        ]
        without = {"train": None, "validation": {"fraction": 0.1}}  # the default: members have their own
        task_section = {"type": task, "tasks": members}
        return _model(folder / _MEMBERS["tone"]), Path("none"), {"task": task_section, "data": without}
    rows = folder / task / "pictures" if task == "image-classification" else _rows(folder / task)
    return _model(folder / task), rows, {"task": {"type": task, **_SETTINGS.get(task, {})}}


def write(folder: Path) -> None:
    """Write models and rows of all tasks."""
    for task, write_task in TASKS.items():
        (folder / task).mkdir()
        write_task(folder / task)


_MEMBERS = {"tone": "text-classification", "names": "token-classification"}
_SETTINGS: dict[str, dict[str, Any]] = {"seq2seq": {"max_new_tokens": 4}, "masked-lm": {"mask_share": 0.4}}


def _text_classification(folder: Path) -> None:
    tiny_models.save_encoder(_model(folder), dropout=0.0)
    training.write_reviews(_rows(folder), num_rows=NUM_ROWS)


def _causal_lm(folder: Path) -> None:
    tiny_models.save_decoder(_model(folder))
    training.write_reviews(_rows(folder), num_rows=NUM_ROWS)


def _token_classification(folder: Path) -> None:
    tiny_models.save_encoder(_model(folder), dropout=0.0)
    words = [["a", "film"] * (1 + number % 9) for number in range(NUM_ROWS)]
    _dump(folder, [{"words": each, "tags": ["O", "B-film"] * (len(each) // 2)} for each in words])


def _question_answering(folder: Path) -> None:
    tiny_models.save_encoder(_model(folder), dropout=0.0)
    contexts = [f"film {number % 7} is " + "very " * (number % 5) + "dull" for number in range(NUM_ROWS)]
    answers = [{"text": ["dull"], "answer_start": [context.index("dull")]} for context in contexts]
    pairs = zip(contexts, answers, strict=True)
    _dump(folder, [{"question": "how is it?", "context": context, "answers": found} for context, found in pairs])


def _seq2seq(folder: Path) -> None:
    tiny_models.save_seq2seq(_model(folder))
    _dump(folder, [{"source": f"a film {n % 7}", "target": "dull " * (1 + n % 5)} for n in range(NUM_ROWS)])


def _next_sentence(folder: Path) -> None:
    tiny_models.save_encoder(_model(folder), dropout=0.0)
    _dump(folder, [{"sentences": [f"scene {n} is fine", f"end {n} is dull"]} for n in range(NUM_ROWS)])


def _image_classification(folder: Path) -> None:
    config = tiny_images.save_model(_model(folder)) / "config.json"
    without = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    config.write_text(json.dumps(json.loads(config.read_text(encoding="utf-8")) | without), encoding="utf-8")
    tiny_images.write_folders(folder / "pictures", num_each=NUM_ROWS // 2)


TASKS: dict[str, Callable[[Path], object]] = {
    "text-classification": _text_classification,
    "token-classification": _token_classification,
    "question-answering": _question_answering,
    "seq2seq": _seq2seq,
    "causal-lm": _causal_lm,
    "masked-lm": _text_classification,
    "next-sentence": _next_sentence,
    "image-classification": _image_classification,
    "multi-task": lambda folder: None,  # it has what its members have
}
"""A task joins the matrix by a line here."""


def _model(folder: Path) -> Path:
    return folder / "model"


def _rows(folder: Path) -> Path:
    return folder / "rows.jsonl"


def _dump(folder: Path, rows: Sequence[dict[str, Any]]) -> None:
    _rows(folder).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
