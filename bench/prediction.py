"""How many rows a second does a trained model answer, beside `Trainer.predict`?

MiniLM on film sentences, batches of 32, one process that asks all in turn, the same threads. All read texts: what
tokenises does so inside the clock.

ours      what `predict` does: windows of 32 batches, sorted by length, answered and given out in their order. With
          `--backend onnx` the same windows through ONNX Runtime, as an endpoint has it.
trainer   `Trainer.predict` on the tokenised rows, with PyTorch: the Trainer has no other backend.
grouped   `Trainer.predict` with `train_sampling_strategy="group_by_length"`, which its evaluation follows.
offline   the same backend on rows that are tokenised and sorted before the clock starts: the limit.

    python bench/prediction.py --backend onnx                     # three rounds, five minutes on two cores
    python bench/prediction.py --rows 320 --rounds 1              # does it run?
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench import films, serving, turns

BATCH_SIZE = 32
WINDOW = 32 * BATCH_SIZE  # as `flow.predict` has it
MAX_LENGTH = 256  # of the trained model


def main() -> None:
    arguments = _arguments()
    with tempfile.TemporaryDirectory(prefix="eagleray-bench-") as scratch:
        directory = Path(arguments.directory or scratch).resolve()
        serving.prepare(directory)
        rows = films.sentences(seed=1)[: arguments.rows]
        takers = _takers(serving.model_files(directory), rows, arguments)
        for take in takers.values():
            take(0)
        figures = turns.take(takers, rounds=arguments.rounds)
    turns.finish(__file__, figures, arguments, rows=arguments.rows)


def _takers(
    files: Path, rows: list[dict[str, str]], arguments: argparse.Namespace
) -> dict[str, Callable[[int], dict[str, float]]]:
    import torch

    torch.set_num_threads(arguments.threads)
    model = _loaded(files, arguments)
    asked = sorted(model.encode({"text": row["text"]} for row in rows), key=lambda sample: len(sample["input_ids"]))
    measured = {
        "ours": lambda: sum(1 for _ in answers(model, rows)),
        "trainer": _trainer(files, rows, {}),
        "grouped": _trainer(files, rows, {"train_sampling_strategy": "group_by_length"}),
        "offline": lambda: len(model.answer_all(asked, batch_size=BATCH_SIZE)),
    }

    def timed(work: Callable[[], int]) -> Callable[[int], dict[str, float]]:
        def take(number: int) -> dict[str, float]:
            started = time.perf_counter()
            num_rows = work()
            assert num_rows == len(rows)
            return {"samples_per_s": num_rows / (time.perf_counter() - started)}

        return take

    return {name: timed(work) for name, work in measured.items()}


def answers(model: Any, rows: list[dict[str, str]]) -> Iterator[dict[str, Any]]:
    """As `flow.predict` goes about it, with any backend."""
    stream = iter(rows)
    while window := list(islice(stream, WINDOW)):
        yield from model.answer_all(model.encode({"text": row["text"]} for row in window), batch_size=BATCH_SIZE)


def _loaded(files: Path, arguments: argparse.Namespace) -> Any:
    from eagleray.serving import loaded
    from eagleray.spec.endpoint import OnnxBackendSpec, TorchBackendSpec

    kinds = {"torch": TorchBackendSpec, "onnx": OnnxBackendSpec}
    backend = kinds[arguments.backend](type=arguments.backend)
    return loaded.load(files, backend=backend, num_threads=arguments.threads)


def _trainer(files: Path, rows: list[dict[str, str]], options: dict[str, Any]) -> Callable[[], int]:
    from transformers import AutoModelForSequenceClassification, AutoTokenizer, Trainer, TrainingArguments

    tokenizer = AutoTokenizer.from_pretrained(files)
    trainer = Trainer(
        model=AutoModelForSequenceClassification.from_pretrained(files, dtype="float32"),
        args=TrainingArguments(
            output_dir="/tmp/eagleray-bench-trainer",
            per_device_eval_batch_size=BATCH_SIZE,
            report_to="none",
            disable_tqdm=True,
            use_cpu=True,
            **options,
        ),
        processing_class=tokenizer,
    )
    return lambda: len(trainer.predict(films.dataset(rows, tokenizer, max_length=MAX_LENGTH)).predictions)


def _arguments() -> argparse.Namespace:
    parser = turns.parser(__doc__, rounds=3)
    parser.add_argument("--backend", choices=["torch", "onnx"], default="torch")
    parser.add_argument("--rows", type=int, default=3_200, help="answered in a round (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="default: one a core")
    parser.add_argument("--directory", default="", help="keep the model there")
    return parser.parse_args()


if __name__ == "__main__":
    main()
