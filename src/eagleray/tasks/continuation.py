"""How is a batch of prompts laid out so that texts can be added to each?"""

from __future__ import annotations

from typing import Any

import torch

from eagleray.tasks.base import Batch


def room(model: Any, max_new_tokens: int) -> int | None:
    """How many prompt tokens leave room for the answer within the positions that the model knows."""
    positions = getattr(model.config, "max_position_embeddings", None)
    return None if positions is None else max(positions - max_new_tokens, 1)


def on_the_right(batch: Batch, *, room: int | None, pad_id: int) -> Batch:
    """The rows moved to the right border, where generation goes on; of a row longer than `room` its end stays."""
    lengths = batch["attention_mask"].sum(dim=1).tolist()
    rows = [ids[:length][-(room or length) :] for ids, length in zip(batch["input_ids"], lengths, strict=True)]
    longest = max(len(row) for row in rows)
    input_ids = torch.full((len(rows), longest), pad_id, dtype=torch.int64, device=batch["input_ids"].device)
    mask = torch.zeros_like(input_ids)
    for index, row in enumerate(rows):
        input_ids[index, longest - len(row) :] = row
        mask[index, longest - len(row) :] = 1
    return {"input_ids": input_ids, "attention_mask": mask}
