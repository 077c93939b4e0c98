"""What do the texts score that a finished model writes?

Every rank loads the whole model, from the files that are published, and writes for its share of the rows. So nothing is
collective while texts of unlike lengths are written, whatever the ZeRO stage was: no rank waits for the token of
another. The price is one whole copy of the model on each worker, beside what it holds of the sharded one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from eagleray.data.batches import eval_batches
from eagleray.data.tokenized import Split
from eagleray.metrics.texts import TextMetrics
from eagleray.metrics.wordnet import WordNet
from eagleray.store import sources
from eagleray.tasks.base import Row, Writing
from eagleray.tasks.trained import Trained
from eagleray.train.compared import Compared
from eagleray.train.group import Group


def evaluate(
    model: Trained,
    *,
    split: Split,
    batch_size: int,
    group: Group,
    compared: Compared | None = None,
    on_batch: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, float]:
    """Return the metrics of what the model writes for `split`, exact over all ranks and the same at each.

    `compared` adds the document's own.
    """
    task = model.task
    assert isinstance(task, Writing), "the document names splits to write for with such tasks alone"
    metrics = TextMetrics(
        task.written_by,
        pairs=tuple(task.pairs),
        bleu_tokenizer=task.bleu_tokenizer,
        wordnet=None if task.wordnet is None else WordNet(Path(sources.resolve(task.wordnet))),
    )
    shares = eval_batches(split.lengths, world_size=group.world_size, rank=group.rank, micro_batch_size=batch_size)
    with torch.inference_mode():
        for done, (numbers, weights) in enumerate(shares, start=1):
            if weights.any():
                rows = [split.row(index) for index in numbers.tolist()]
                said, true = _written(model, [task.prompted(row) for row in rows]), [task.wanted(row) for row in rows]
                metrics.update(said, true, [row.get("pair") for row in rows])
                if compared is not None:
                    compared.add_texts(numbers, said, true)
            on_batch(done, len(shares))
    metrics.state.copy_(group.sum(metrics.state))
    found = metrics.compute()
    return found if compared is None else found | compared.compute(group, num_rows=len(split))


def _written(model: Trained, rows: Sequence[Row]) -> list[str]:
    """What the model writes for each row, as `predict` asks it."""
    columns = model.task.encode(list(rows), model.tokenizer, model.max_length)
    samples = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    batch = model.task.collate(
        samples,
        weights=np.ones(len(samples), dtype=np.float32),
        pad_id=int(model.tokenizer.pad_token_id),
        max_length=model.max_length,
    )
    on_device = {name: tensor.to(model.device) for name, tensor in batch.items()}
    return [answer["text"] for answer in model.task.predict(model.model, model.tokenizer, on_device)]
