"""How many targets a second does a language model learn from, when several texts share a row, beside a padded Trainer?

SmolLM2 cut to its first 4 layers, so that a round takes a minute; film sentences as raw text (26 tokens in the mean);
fp32. A target is a token that the model learns to say: no padding, and no first token of a text. Contenders are
processes that train in turn (`contenders`), 32 texts a step.

ours      `data.batching: {type: packed}`: in rows of 128 tokens, attention kept apart, positions restarted.
trainer   `transformers.Trainer` with its defaults: in random order, padded to the longest.
grouped   the same with `train_sampling_strategy="group_by_length"`.

    python bench/train_packed.py                         # three rounds, six minutes on two cores
    python bench/train_packed.py --steps 5 --rounds 1    # does it run?
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench import films, turns, worker
from bench.contenders import Turns, take, waiting
from bench.peers import train_in_turn

DOCUMENT = Path(__file__).parents[1] / "jobs" / "finetune" / "causal-lm-pretraining.yaml"
NUM_LAYERS = 4
NUM_ROWS = 3_200
MAX_LENGTH = 128
BATCH_SIZE = 32


@dataclass(frozen=True, slots=True)
class Setup:
    """What every contender works on."""

    directory: str
    num_threads: int


def ours(setup: Setup, turns: Turns) -> None:
    """The product's own worker."""
    from eagleray.spec.document import load

    directory = Path(setup.directory)
    overrides = [
        *films.overrides(directory),
        f"model.source={directory / 'model'}",
        f"data.max_length={MAX_LENGTH}",
        "train.epochs=50",
        "train.precision=fp32",
        "train.baselines=false",
        f"train.global_batch_size={BATCH_SIZE}",
        f"train.micro_batch_size={BATCH_SIZE}",
        "scale.num_workers=1",
    ]
    document = load(DOCUMENT, overrides=overrides).document
    # The first token of a text is no target.
    worker.train(document, directory, turns, count_targets=lambda report: report.num_tokens - report.num_samples)


def trainer(setup: Setup, turns: Turns, **arguments: Any) -> None:
    """The Trainer of transformers over the same texts, tokenised ahead."""
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer, DataCollatorForLanguageModeling

    directory = Path(setup.directory)
    tokenizer = AutoTokenizer.from_pretrained(directory / "model")
    end = tokenizer.eos_token
    texts = [row["text"] + end for row in films.read(directory / "train.jsonl")]
    rows = tokenizer(texts, truncation=True, max_length=MAX_LENGTH)
    train_in_turn(
        turns,
        model=AutoModelForCausalLM.from_pretrained(directory / "model", dtype="float32"),
        processing_class=tokenizer,
        train_dataset=Dataset.from_dict(dict(rows)),
        collate=DataCollatorForLanguageModeling(tokenizer, mlm=False),
        count_targets=lambda batch: int(batch["attention_mask"].sum()) - len(batch["attention_mask"]),
        output_dir=str(directory / "trainer"),
        per_device_train_batch_size=BATCH_SIZE,
        num_train_epochs=50,
        **arguments,
    )


def grouped(setup: Setup, turns: Turns) -> None:
    """The Trainer with its own grouping by length."""
    trainer(setup, turns, train_sampling_strategy="group_by_length")


CONTENDERS = {"ours": ours, "trainer": trainer, "grouped": grouped}


def main() -> None:
    arguments = _arguments()
    with tempfile.TemporaryDirectory(prefix="eagleray-bench-") as scratch:
        directory = Path(scratch)
        films.write(directory, train=NUM_ROWS, validation=64)
        cut(directory / "model")
        setup = Setup(scratch, arguments.threads)
        with waiting(CONTENDERS, setup, warmup_steps=3) as pipes:
            figures = take(pipes, steps=arguments.steps, rounds=arguments.rounds)
    turns.finish(__file__, figures, arguments, steps=arguments.steps)


def cut(directory: Path) -> None:
    """Write the model with its first layers only."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from eagleray.model import gguf
    from eagleray.spec.document import load
    from eagleray.store.sources import resolve

    whole = gguf.converted(Path(resolve(load(DOCUMENT).document.spec.model.source)))
    model = AutoModelForCausalLM.from_pretrained(whole, num_hidden_layers=NUM_LAYERS)
    model.save_pretrained(directory)
    AutoTokenizer.from_pretrained(whole).save_pretrained(directory)


def _arguments() -> argparse.Namespace:
    parser = turns.parser(__doc__, rounds=3)
    parser.add_argument("--steps", type=int, default=20, help="of a round (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="default: one a core")
    return parser.parse_args()


if __name__ == "__main__":
    main()
