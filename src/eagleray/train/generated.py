"""What do the texts score that a finished model writes?

Every rank loads the whole model, from the files that are published, and writes for its share of the rows. So nothing is
collective while texts of unlike lengths are written, whatever the ZeRO stage was: no rank waits for the token of
another. The price is one whole copy of the model on each worker, beside what it holds of the sharded one.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from eagleray.data.batches import eval_batches
from eagleray.data.tokenized import Split
from eagleray.metrics.texts import TextMetrics
from eagleray.spec import reported
from eagleray.tasks.seq2seq import Seq2Seq
from eagleray.tasks.trained import Trained
from eagleray.train.feed import Collate
from eagleray.train.group import Group


def evaluate(
    model: Trained,
    *,
    split: Split,
    collate: Collate,
    batch_size: int,
    group: Group,
    on_batch: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, float]:
    """Return the metrics of what the model writes for `split`, exact over all ranks and the same at each."""
    task = model.task
    assert isinstance(task, Seq2Seq)
    metrics = TextMetrics(reported.GENERATED[task.preset], pairs=tuple(task.pairs), bleu_tokenizer=task.bleu_tokenizer)
    shares = eval_batches(split.lengths, world_size=group.world_size, rank=group.rank, micro_batch_size=batch_size)
    with torch.inference_mode():
        for done, (rows, weights) in enumerate(shares, start=1):
            if weights.any():
                answers = task.predict(model.model, model.tokenizer, collate(split.samples(rows), weights))
                wanted = [split.row(index) for index in rows.tolist()]
                metrics.update(
                    [answer["text"] for answer in answers],
                    [row["target"] for row in wanted],
                    [row.get("pair") for row in wanted],
                )
            on_batch(done, len(shares))
    metrics.state.copy_(group.sum(metrics.state))
    return metrics.compute()
