"""What do the texts score that a finished model writes?

Every rank loads the whole model, from the files that are published, and writes for its share of the rows. So nothing is
collective while texts of unlike lengths are written, whatever the ZeRO stage was: no rank waits for the token of
another. The price is one whole copy of the model on each worker, beside what it holds of the sharded one.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from eagleray.data.batches import eval_batches
from eagleray.data.tokenized import TokenizedSplit
from eagleray.metrics.texts import TextMetrics
from eagleray.spec import reported
from eagleray.tasks.seq2seq import Seq2Seq
from eagleray.tasks.trained import Trained
from eagleray.train.compared import Compared
from eagleray.train.feed import Collate
from eagleray.train.group import Group


def evaluate(
    model: Trained,
    *,
    split: TokenizedSplit,
    collate: Collate,
    batch_size: int,
    group: Group,
    compared: Compared | None = None,
    on_batch: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, float]:
    """Return the metrics of what the model writes for `split`, exact over all ranks and the same at each.

    `compared` adds the document's own.
    """
    task = model.task
    assert isinstance(task, Seq2Seq)
    metrics = TextMetrics(reported.GENERATED[task.preset], pairs=tuple(task.pairs), bleu_tokenizer=task.bleu_tokenizer)
    shares = eval_batches(split.lengths, world_size=group.world_size, rank=group.rank, micro_batch_size=batch_size)
    with torch.inference_mode():
        for done, (rows, weights) in enumerate(shares, start=1):
            if weights.any():
                answers = task.predict(model.model, model.tokenizer, collate(split.samples(rows), weights))
                wanted = [split.row(index) for index in rows.tolist()]
                said, true = [answer["text"] for answer in answers], [row["target"] for row in wanted]
                metrics.update(said, true, [row.get("pair") for row in wanted])
                if compared is not None:
                    compared.add_texts(rows, said, true)
            on_batch(done, len(shares))
    metrics.state.copy_(group.sum(metrics.state))
    found = metrics.compute()
    return found if compared is None else found | compared.compute(group, num_rows=len(split))
