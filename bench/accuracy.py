"""Does a model fine-tuned by eagleray score what a plain PyTorch loop with the same hyperparameters scores?

Both sides learn from the same film sentences (`--rows` of them, drawn once) and are tested on the same `--test-rows`
others, in as many steps, once a seed. A seed decides the new head, the order of the rows and dropout.

ours   `eagleray.train.session`, what each Ray Train worker runs, as two processes of a gloo group without Ray: ZeRO-2,
       batches grouped by length, on jobs/finetune/text-classification-cpu.yaml. One checkpoint, at the end, so that
       nothing is chosen by a metric.
plain  torch and transformers alone: one process, random order, padding to the longest of a batch, AdamW with decay
       kept off biases and norms, warmup and linear schedule of transformers, clipping; scores by scikit-learn.

The demand is that the mean over the seeds differs by no more than one point, in accuracy and in macro F1.

    python bench/accuracy.py                                   # three seeds, ten minutes on two cores
    python bench/accuracy.py --seeds 0 --rows 320 --epochs 1   # does it run?
"""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean

import torch
from sklearn.metrics import accuracy_score, f1_score
from transformers import AutoModelForSequenceClassification, AutoTokenizer, get_linear_schedule_with_warmup

sys.path.insert(0, str(Path(__file__).parents[1]))  # the gloo workers are those of the tests

from bench import films, turns
from bench.films import CLASSES
from bench.peers import DOCUMENT
from eagleray.model import quiet
from eagleray.spec.document import load
from eagleray.spec.finetune import FineTune, FineTuneSpec
from eagleray.store.sources import resolve
from tests.support.gloo import GlooWorkers
from tests.support.training import train

NUM_VALIDATION_ROWS = 200  # our side evaluates before its one checkpoint; nothing is decided by it
LARGEST_DIFFERENCE = 0.01

Rows = list[dict[str, str]]


@dataclass(frozen=True, slots=True)
class Scores:
    """What a trained model reached on the test rows."""

    accuracy: float
    f1_macro: float
    steps: int
    seconds: float


def main() -> None:
    arguments = _arguments()
    turns.hush()
    quiet.silence()
    results: list[tuple[int, Scores, Scores]] = []
    with tempfile.TemporaryDirectory(prefix="eagleray-bench-") as scratch:
        splits = write_splits(Path(scratch), num_train=arguments.rows, num_test=arguments.test_rows)
        print(", ".join(f"{len(rows):,} rows {name}" for name, rows in splits.items()), flush=True)
        print(f"{'seed':>4}{'steps':>7}  {'accuracy':>9}{'plain':>9}{'F1 macro':>9}{'plain':>9}{'s':>6}{'plain':>6}")
        for seed in arguments.seeds:
            document = fine_tune_document(Path(scratch), num_train=arguments.rows, epochs=arguments.epochs, seed=seed)
            results.append((seed, ours(document, Path(scratch)), plain(document.spec, splits)))
            print(_row(*results[-1]), flush=True)
    print_summary(results)
    told = [{"seed": seed, "ours": asdict(left), "plain": asdict(right)} for seed, left, right in results]
    turns.finish(__file__, {}, arguments, runs=told)


def write_splits(directory: Path, *, num_train: int, num_test: int) -> dict[str, Rows]:
    """Draw the splits, the same for every seed, and write each as a JSONL file. A sentence is in one of them only."""
    films.write(directory, test=num_test, validation=NUM_VALIDATION_ROWS, train=num_train)
    return {name: films.read(directory / f"{name}.jsonl") for name in ("test", "validation", "train")}


def fine_tune_document(directory: Path, *, num_train: int, epochs: int, seed: int) -> FineTune:
    """The shipped document with the drawn rows and a checkpoint at the last step alone."""
    given = load(DOCUMENT).document.spec
    steps = epochs * math.ceil(num_train / given.train.global_batch_size)
    overrides = [
        f"data.train={directory / 'train.jsonl'}",
        f"data.validation={{file: {directory / 'validation.jsonl'}}}",
        f"data.test={directory / 'test.jsonl'}",
        "data.test_fraction=null",
        "data.keep={}",
        f"train.epochs={epochs}",
        f"train.seed={seed}",
        f"checkpoint.every_steps={steps}",
    ]
    return load(DOCUMENT, overrides=overrides).document


def ours(document: FineTune, scratch: Path) -> Scores:
    """Run the session in two gloo processes of one thread each."""
    started = time.perf_counter()
    workers = GlooWorkers(document.spec.scale.num_workers)
    try:
        outcome = train(workers, document, scratch / "storage", scratch / "cache").outcome
    finally:
        workers.close()
    test = outcome["metrics"]["test"]
    return Scores(test["accuracy"], test["f1_macro"], outcome["step"], time.perf_counter() - started)


def plain(spec: FineTuneSpec, splits: dict[str, Rows]) -> Scores:
    """A loop as one writes it by hand, in this process."""
    started = time.perf_counter()
    torch.manual_seed(spec.train.seed)
    source = resolve(spec.model.source)
    tokenizer = AutoTokenizer.from_pretrained(source)
    model = AutoModelForSequenceClassification.from_pretrained(source, num_labels=len(CLASSES), dtype=torch.float32)

    def logits(rows: Rows) -> torch.Tensor:
        texts = [row["text"] for row in rows]
        inputs = tokenizer(
            texts, truncation=True, max_length=spec.data.max_length, padding="longest", return_tensors="pt"
        )
        return model(**inputs).logits

    def labels(rows: Rows) -> torch.Tensor:
        return torch.tensor([CLASSES.index(row["category"]) for row in rows])

    rows, batch_size = splits["train"], spec.train.global_batch_size
    steps = spec.train.epochs * math.ceil(len(rows) / batch_size)
    optimizer = _adamw(model, spec)
    schedule = get_linear_schedule_with_warmup(optimizer, math.ceil(spec.train.schedule.warmup * steps), steps)
    model.train()
    for _ in range(spec.train.epochs):
        for indices in torch.randperm(len(rows)).split(batch_size):
            batch = [rows[index] for index in indices]
            torch.nn.functional.cross_entropy(logits(batch), labels(batch)).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), spec.train.gradient_clip)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
    model.eval()
    test = splits["test"]
    with torch.inference_mode():
        predicted = torch.cat([logits(test[at : at + 100]).argmax(dim=-1) for at in range(0, len(test), 100)])
    return Scores(
        accuracy_score(labels(test), predicted),
        f1_score(labels(test), predicted, average="macro"),
        steps,
        time.perf_counter() - started,
    )


def _adamw(model: torch.nn.Module, spec: FineTuneSpec) -> torch.optim.AdamW:
    named = list(model.named_parameters())
    spared = ("bias", "LayerNorm.weight")
    groups = [
        {"params": [p for name, p in named if not name.endswith(spared)], "weight_decay": spec.train.weight_decay},
        {"params": [p for name, p in named if name.endswith(spared)], "weight_decay": 0.0},
    ]
    given = spec.train.optimizer
    return torch.optim.AdamW(groups, lr=spec.train.learning_rate, betas=(given.beta1, given.beta2), eps=given.epsilon)


def print_summary(results: list[tuple[int, Scores, Scores]]) -> None:
    """The means over the seeds, their difference in points, and whether it is small enough."""
    if any(left.steps != right.steps for _, left, right in results):
        sys.exit("the two sides took different numbers of steps: they cannot be compared")
    for metric in ("accuracy", "f1_macro"):
        left = fmean(getattr(scores, metric) for _, scores, _ in results)
        right = fmean(getattr(scores, metric) for _, _, scores in results)
        verdict = "within one point" if abs(left - right) <= LARGEST_DIFFERENCE else "MORE than one point"
        difference = f"difference {100 * (left - right):+.2f} points"
        print(f"mean {metric}: ours {left:.4f}, plain {right:.4f}, {difference}: {verdict}")


def _row(seed: int, left: Scores, right: Scores) -> str:
    scores = (left.accuracy, right.accuracy, left.f1_macro, right.f1_macro)
    seconds = f"{left.seconds:>6.0f}{right.seconds:>6.0f}"
    return f"{seed:>4}{left.steps:>7}  " + "".join(f"{score:>9.4f}" for score in scores) + seconds


def _arguments() -> argparse.Namespace:
    parser = turns.parser(__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--rows", type=int, default=3_200, help="training rows (default: %(default)s)")
    parser.add_argument("--test-rows", type=int, default=3_000, help="default: %(default)s")
    return parser.parse_args()


if __name__ == "__main__":
    main()
