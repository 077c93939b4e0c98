"""What do peers and ours have in common? The model, a process group, and Ray Train as its documentation has it."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.contenders import Turns
from bench.films import CLASSES

DOCUMENT = Path(__file__).parents[1] / "jobs" / "finetune" / "text-classification-cpu.yaml"
MICRO_BATCH_SIZE = 16


def zero(stage: int) -> dict[str, Any]:
    """The configuration of DeepSpeed that a Trainer is given."""
    return {
        "zero_optimization": {"stage": stage},
        "zero_allow_untested_optimizer": True,
        "train_micro_batch_size_per_gpu": "auto",
        "gradient_accumulation_steps": "auto",
        "gradient_clipping": "auto",
    }


def encoder(document: Any = None) -> tuple[Any, Any]:
    """MiniLM in fp32 with a new head, and its tokenizer, as transformers loads them."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    from eagleray.spec.document import load
    from eagleray.store.sources import resolve

    source = resolve((document or load(DOCUMENT).document).spec.model.source)
    model = AutoModelForSequenceClassification.from_pretrained(source, num_labels=len(CLASSES), dtype=torch.float32)
    return model, AutoTokenizer.from_pretrained(source)


def group_of_one() -> Any:
    """A process group of this process alone."""
    from eagleray.train.group import gloo

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    return gloo(rank=0, world_size=1, port=port)


def trainer(dataset: Any, *, callbacks: list[Any], stage: int | None, **arguments: Any) -> Any:
    """A Trainer of transformers for MiniLM, in a worker of Ray Train: under ZeRO where `stage` says so."""
    from transformers import Trainer, TrainingArguments

    if stage is not None:
        compile_nothing()
    given = TrainingArguments(
        output_dir="trainer",
        per_device_train_batch_size=MICRO_BATCH_SIZE,
        report_to="none",
        disable_tqdm=True,
        use_cpu=True,
        deepspeed=None if stage is None else zero(stage),
        **arguments,
    )
    model, tokenizer = encoder()
    return Trainer(model=model, args=given, train_dataset=dataset, processing_class=tokenizer, callbacks=callbacks)


def train_in_turn(
    turns: Turns,
    *,
    model: Any,
    processing_class: Any,
    train_dataset: Any,
    collate: Callable[[list[Any]], Any],
    count_targets: Callable[[Any], int] = lambda batch: 0,
    **arguments: Any,
) -> None:
    """Have a Trainer of transformers take its steps in its turns; `arguments` are those of TrainingArguments."""
    from transformers import Trainer, TrainerCallback, TrainingArguments

    class TakesTurns(TrainerCallback):
        def on_train_begin(self, *given: Any, **more: Any) -> None:
            turns.begin()

        def on_step_end(self, args: Any, state: Any, control: Any, **more: Any) -> None:
            control.should_training_stop = not turns.step()

    def counted(samples: list[Any]) -> Any:
        batch = collate(samples)
        turns.count(samples=len(samples), cells=batch["input_ids"].numel(), targets=count_targets(batch))
        return batch

    Trainer(
        model=model,
        args=TrainingArguments(save_strategy="no", report_to="none", disable_tqdm=True, **arguments),
        train_dataset=train_dataset,
        data_collator=counted,
        processing_class=processing_class,
        callbacks=[TakesTurns()],
    ).train()


def compile_nothing() -> None:
    """As the product: the op, for a collective that training never calls, would be compiled for a minute."""
    import deepspeed

    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False


def fit(train: Callable[[dict[str, Any]], None], config: dict[str, Any], *, num_workers: int, **run: Any) -> None:
    """Run a train function on an embedded Ray, in the process of a user's script; `run` are those of a RunConfig."""
    import ray
    from ray.train import RunConfig, ScalingConfig
    from ray.train.torch import TorchConfig, TorchTrainer

    cpus = max(num_workers, os.cpu_count() or 1)
    ray.init(address="local", num_cpus=cpus, object_store_memory=200 * 2**20, log_to_driver=False)
    TorchTrainer(
        train,
        train_loop_config=config,
        torch_config=TorchConfig(backend="gloo"),
        scaling_config=ScalingConfig(num_workers=num_workers, resources_per_worker={"CPU": 1}),
        run_config=RunConfig(name="ray", **run),
    ).fit()
    ray.shutdown()
