"""What does a frozen model say of each sample, so that its head can learn without running it again?

The base model runs once over every split; what its head reads of it, one vector a sample, is kept in the cache, and
comes to the head with the sample. The model stays whole: its names, its checkpoints and what is exported are those of a
run without a cache.
"""

from __future__ import annotations

import hashlib
import logging
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import filelock
import numpy as np
import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPoolingAndCrossAttentions as Said

from eagleray.data import batches
from eagleray.data.tokenized import Split, TokenizedSplit
from eagleray.errors import UserError
from eagleray.store import cache
from eagleray.tasks.base import Batch
from eagleray.train.feed import Collate
from eagleray.train.inputs import Inputs

COLUMN = "features"
Position = Literal["first", "last"]
_POSITIONS: tuple[Position, ...] = ("first", "last")
_ROWS = 32
_PROBED = 8
_log = logging.getLogger(__name__)


def attach(loaded: Inputs, model: PreTrainedModel, *, collate: Collate, cache_dir: Path) -> Inputs:
    """Have the model's head read features, and return the inputs whose samples carry them.

    The first process of a node runs the model, the others wait for it.

    Raises:
        UserError: the head reads more than one token of what its base model says.
    """
    base = _Base(model)
    base.position = _position(base, loaded, collate)
    directory = cache.folder(COLUMN, root=cache_dir) / _key(base, loaded)
    with filelock.FileLock(f"{directory}.lock"):
        if not directory.is_dir():
            _build(directory, base, loaded, collate)
    cache.touch(directory)
    base.read_features()
    found = {name: split.with_columns({COLUMN: directory / f"{name}.npy"}) for name, split in _splits(loaded).items()}
    data = replace(loaded.data, train=found["train"], validation=found["validation"], test=found.get("test"))
    return replace(loaded, data=data)


def read(model: PreTrainedModel) -> int:
    """Have the model's head read features of whatever value, and return how many numbers a sample has."""
    base = _Base(model)
    base.read_features()
    width: int = model.config.get_text_config().hidden_size
    return width if getattr(base.module, "pooler", None) is None else 2 * width


@dataclass(slots=True)
class _Base:
    """A model, and the frozen part of it that its head stands on."""

    model: PreTrainedModel
    position: Position = "first"

    @property
    def module(self) -> nn.Module:
        """The part without the head."""
        return self.model.base_model

    @torch.no_grad()
    def features(self, batch: Batch) -> torch.Tensor:
        """Return what the head reads: (rows, width), the state at one token and, where there is one, the pooled one."""
        said: list[Any] = []
        handle = self.module.register_forward_hook(lambda module, args, answer: said.append(answer))
        self.model(**_inputs(batch))
        handle.remove()
        ends = batch["attention_mask"].sum(dim=1) - 1
        at = ends if self.position == "last" else torch.zeros_like(ends)
        state = said[0].last_hidden_state[torch.arange(len(at), device=at.device), at]
        pooled = getattr(said[0], "pooler_output", None)
        return (state if pooled is None else torch.cat([state, pooled], dim=1)).float()

    def read_features(self) -> None:
        """From now on `model(features=…)` runs the head alone."""
        whole, module, dtype = self.model.forward, self.module, self.model.dtype
        width = self.model.config.get_text_config().hidden_size

        def forward(*, features: torch.Tensor, input_ids: torch.Tensor, attention_mask: torch.Tensor, **_: Any) -> Any:
            states = features.to(dtype)
            pooled = states[:, width:] if states.shape[1] > width else None
            answer = Said(last_hidden_state=states[:, None, :width], pooler_output=pooled)
            module.forward = lambda *args, **kwargs: answer
            # Decoders look for the last token that is no padding: there is one token, and it is none.
            last = input_ids.gather(1, attention_mask.sum(dim=1, keepdim=True) - 1)
            return whole(input_ids=last, attention_mask=torch.ones_like(last))

        self.model.forward = forward

    def read_tokens(self) -> None:
        """Undo `read_features`."""
        del self.model.forward
        self.module.__dict__.pop("forward", None)


def _position(base: _Base, loaded: Inputs, collate: Collate) -> Position:
    """Which token's state the head reads, found out by trying: the answers must be the same."""
    longest = np.argsort(loaded.data.train.lengths, kind="stable")
    rows = longest[np.linspace(0, len(longest) - 1, num=min(_PROBED, len(longest)), dtype=np.int64)]
    batch = collate(loaded.data.train.samples(rows), np.ones(len(rows), dtype=np.float32))
    base.model.train(False)
    with torch.no_grad():
        expected = base.model(**_inputs(batch)).logits
        found = {position: _answers(base, batch, position) for position in _POSITIONS}
    nearest = min(_POSITIONS, key=lambda position: float((found[position] - expected).abs().max()))
    tolerance = max(1e-3, 4 * torch.finfo(expected.dtype).eps)  # one token alone is rounded otherwise than among many
    if torch.allclose(found[nearest], expected, rtol=tolerance, atol=tolerance / 10):
        return nearest
    raise UserError(
        f"method.cache_features: the head of a {type(base.model).__name__} reads more than one token of what its base "
        "model says: leave it out"
    )


def _answers(base: _Base, batch: Batch, position: Position) -> torch.Tensor:
    """What the head says, (rows, …), where it is given the state at one token alone."""
    base.position = position
    features = base.features(batch)
    base.read_features()
    logits: torch.Tensor = base.model(**_inputs(batch), features=features).logits
    base.read_tokens()
    return logits


def _build(directory: Path, base: _Base, loaded: Inputs, collate: Collate) -> None:
    """Write the features of every split; a kill before the rename leaves none."""
    part = directory.with_name(f"{directory.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    for name, split in _splits(loaded).items():
        _log.info("running the frozen model over %s rows of the %s split", len(split), name)
        _write(part / f"{name}.npy", base, split, collate)
    part.rename(directory)


def _write(path: Path, base: _Base, split: Split, collate: Collate) -> None:
    base.model.train(False)
    file: np.ndarray | None = None
    for rows, weights in batches.eval_batches(split.lengths, world_size=1, rank=0, micro_batch_size=_ROWS):
        features = base.features(collate(split.samples(rows), weights)).cpu().numpy()
        if file is None:
            file = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(len(split), features.shape[1]))
        file[rows] = features
    assert file is not None  # no split is empty
    file.flush()  # type: ignore[attr-defined]


def _key(base: _Base, loaded: Inputs) -> str:
    """A hash of the frozen weights and of the samples."""
    digest = hashlib.sha256(base.position.encode())
    for name, weight in sorted(base.module.state_dict().items()):
        digest.update(name.encode())
        digest.update(weight.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy())
    for split in _splits(loaded).values():
        digest.update(split.identity.encode())
    return digest.hexdigest()[:32]


def _splits(loaded: Inputs) -> dict[str, TokenizedSplit]:
    """Of the one task: several are refused."""
    data = loaded.data
    found = {}
    for name, split in {"train": data.train, "validation": data.validation, "test": data.test}.items():
        if split is not None:
            assert isinstance(split, TokenizedSplit)
            found[name] = split
    return found


def _inputs(batch: Batch) -> Batch:
    return {name: batch[name] for name in ("input_ids", "attention_mask", "token_type_ids") if name in batch}
