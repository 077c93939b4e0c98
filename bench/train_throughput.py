"""How many samples a second does one worker train, beside a bare DeepSpeed loop and the Trainer of transformers?

The same encoder (MiniLM), the same film sentences, batches of 32, the same number of threads, fp32. Each contender is
a process of its own that has built its model and waits; they train in turn, five steps each (A B C D A B C D …), while
the others sleep, so that a change of the machine's speed meets all of them. A round is one pass over the rows.

ours      what a worker does: `train.assembly` builds it, `train.session` takes the steps, its recorder writes them
          down; batches grouped by length.
bare      `deepspeed.initialize`, `engine(...)`, `engine.backward`, `engine.step` and nothing else, over the batches
          that ours makes, padded and in memory before the clock starts; the same optimizer and configuration.
trainer   `transformers.Trainer` with its defaults: random order, padded to the longest of the batch, fused AdamW.
grouped   the same with `train_sampling_strategy="group_by_length"`, its own way to pad less.

ZeRO stage 0 unless `--zero-stage` says otherwise, as in a document that says nothing: one worker has nothing to shard,
and the copies of stages 1 to 3 cost ours and bare alike, but not the Trainer.

Counted are samples a second, the cells (tokens with padding) that a sample costs, and CPU seconds for a thousand
samples. Where others use the machine too, the last with `--threads 1` says more than the others: threads that wait for
one another spin, which is CPU time.

1,600 rows are the 50 batches that a run sorts together, so the whole corpus is grouped no better: 27.5 cells a sample
against 27.7, in random order 51 to 52. The Trainer sorts a quarter of the rows together, at most 50 batches: `grouped`
has 30.0 cells a sample here and 27.7 with `--rows 6400`.

    python bench/train_throughput.py                             # five rounds, eight minutes on two cores
    python bench/train_throughput.py --rows 96 --rounds 1        # does it run?
    python bench/train_throughput.py --contenders ours bare
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench import deepspeed_loop, films, turns, worker
from bench.contenders import Turns, take, waiting
from bench.peers import DOCUMENT, encoder, group_of_one, train_in_turn

BATCH_SIZE = 32


@dataclass(frozen=True, slots=True)
class Setup:
    """What every contender works on."""

    directory: str  # holds train.jsonl and validation.jsonl
    epochs: int  # more than the rounds need
    max_length: int
    zero_stage: int
    num_threads: int


def ours(setup: Setup, turns: Turns) -> None:
    """The product's own worker."""
    worker.train(_document(setup), Path(setup.directory), turns)


def bare(setup: Setup, turns: Turns) -> None:
    """A loop on DeepSpeed over batches that are there already."""
    from eagleray.train import inputs

    spec = _document(setup).spec
    with group_of_one():
        loaded = inputs.load(spec, cache_dir=Path(setup.directory) / "cache")
        batches = deepspeed_loop.batches(spec, loaded, rank=0, world_size=1)
        engine = deepspeed_loop.engine(spec, loaded, world_size=1)
        turns.begin()
        for batch in batches:
            loss = engine(**batch).loss
            engine.backward(loss)
            engine.step()
            turns.count(samples=len(batch["labels"]), cells=batch["input_ids"].numel())
            if not turns.step():
                break
        engine.destroy()


def trainer(setup: Setup, turns: Turns, **arguments: Any) -> None:
    """The Trainer of transformers over the same rows, tokenised ahead."""
    from transformers import DataCollatorWithPadding

    model, tokenizer = encoder(_document(setup))
    rows = films.read(Path(setup.directory) / "train.jsonl")
    train_in_turn(
        turns,
        model=model,
        processing_class=tokenizer,
        train_dataset=films.dataset(rows, tokenizer, max_length=setup.max_length),
        collate=DataCollatorWithPadding(tokenizer),  # what a Trainer takes by itself where it is given a tokenizer
        output_dir=f"{setup.directory}/trainer",
        per_device_train_batch_size=BATCH_SIZE,
        num_train_epochs=setup.epochs,
        **arguments,
    )


def grouped(setup: Setup, turns: Turns) -> None:
    """The Trainer with its own grouping by length."""
    trainer(setup, turns, train_sampling_strategy="group_by_length")


CONTENDERS: dict[str, Callable[[Setup, Turns], None]] = {
    "ours": ours,
    "bare": bare,
    "trainer": trainer,
    "grouped": grouped,
}


def main() -> None:
    arguments = _arguments()
    steps = arguments.rows // BATCH_SIZE
    with tempfile.TemporaryDirectory(prefix="eagleray-bench-") as directory:
        films.write(Path(directory), train=steps * BATCH_SIZE, validation=BATCH_SIZE)
        setup = Setup(
            directory=directory,
            epochs=arguments.rounds + math.ceil(arguments.warmup_steps / steps),
            max_length=arguments.max_length,
            zero_stage=arguments.zero_stage,
            num_threads=arguments.threads,
        )
        chosen = {name: CONTENDERS[name] for name in arguments.contenders}
        with waiting(chosen, setup, warmup_steps=arguments.warmup_steps) as pipes:
            figures = take(pipes, steps=steps, rounds=arguments.rounds)
    turns.finish(__file__, figures, arguments, setup=asdict(setup))


def _document(setup: Setup) -> Any:
    from eagleray.spec.document import load

    overrides = [
        *films.overrides(Path(setup.directory)),
        f"data.max_length={setup.max_length}",
        f"train.epochs={setup.epochs}",
        f"train.global_batch_size={BATCH_SIZE}",
        f"train.micro_batch_size={BATCH_SIZE}",
        "scale.num_workers=1",
        f"scale.zero.stage={setup.zero_stage}",
    ]
    return load(DOCUMENT, overrides=overrides).document


def _arguments() -> argparse.Namespace:
    parser = turns.parser(__doc__, rounds=5)
    parser.add_argument("--contenders", nargs="+", choices=list(CONTENDERS), default=list(CONTENDERS))
    parser.add_argument("--rows", type=int, default=1_600, help="rows of a round (default: %(default)s)")
    parser.add_argument("--warmup-steps", type=int, default=5)
    parser.add_argument("--max-length", type=int, default=128)
    parser.add_argument("--zero-stage", type=int, choices=[0, 1, 2, 3], default=0)
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="default: one a core")
    return parser.parse_args()


if __name__ == "__main__":
    main()
