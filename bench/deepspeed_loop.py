"""What is the limit of training with DeepSpeed? Its engine over batches that are padded and in memory already."""

from __future__ import annotations

from typing import Any


def engine(spec: Any, loaded: Any, *, world_size: int) -> Any:
    """DeepSpeed's engine around model and optimizer of a document, in training mode."""
    import deepspeed
    import torch

    from bench.peers import compile_nothing
    from eagleray.model.load import load_model
    from eagleray.train import deepspeed_config, optimizers

    compile_nothing()
    model = load_model(
        loaded.task.model_class(),
        source=spec.model.source,
        dtype=torch.float32,
        config_overrides=loaded.task.config_overrides(loaded.tokenizer),
    )
    optimizer = optimizers.build(
        model,
        spec.train.optimizer,
        learning_rate=spec.train.learning_rate,
        weight_decay=spec.train.weight_decay,
        fused=True,
    )
    config = deepspeed_config.build(
        spec.scale.zero, world_size=world_size, precision="fp32", gradient_clip=spec.train.gradient_clip
    )
    # The product tells DeepSpeed itself when a step is due; here DeepSpeed counts, and clips at any stage.
    config |= {
        "train_batch_size": spec.train.global_batch_size,
        "train_micro_batch_size_per_gpu": spec.train.global_batch_size // world_size,
        "gradient_accumulation_steps": 1,
        "gradient_clipping": spec.train.gradient_clip,
    }
    made = deepspeed.initialize(model=model, optimizer=optimizer, config=config)[0]
    made.train()
    return made


def batches(spec: Any, loaded: Any, *, rank: int, world_size: int) -> list[dict[str, Any]]:
    """A rank's batches of all epochs, those that ours makes and in its order, ready for the model."""
    import numpy as np

    from eagleray.data.batches import micro_batches
    from eagleray.data.order import global_batches

    train = loaded.data.train
    found = []
    for epoch in range(spec.train.epochs):
        order = global_batches(
            train.lengths,
            seed=spec.train.seed,
            epoch=epoch,
            fingerprint=loaded.data.fingerprint,
            global_batch_size=spec.train.global_batch_size,
            batching=spec.data.batching.type,
            window_batches=spec.data.batching.window_batches,
        )
        for number in range(len(order)):
            [(rows, weights)] = micro_batches(
                order[number], train.lengths, world_size=world_size, rank=rank, accumulation=1, balance="length"
            )
            assert np.all(weights == 1.0)
            batch = loaded.task.collate(
                train.samples(rows),
                weights=weights,
                pad_id=loaded.tokenizer.pad_token_id,
                max_length=spec.data.max_length,
            )
            found.append({name: tensor for name, tensor in batch.items() if name != "weights"})
    return found
