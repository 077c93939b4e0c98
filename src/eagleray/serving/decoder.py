"""How does a decoder of transformers go on with many rows at once, which come and go?

A prompt is read apart from the rows that are being continued, in chunks, so that a long one holds nobody up for long;
then its row joins them. No asyncio, no text: tokens in, logits out. Everything runs in the caller's thread.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from transformers.cache_utils import DynamicCache

from eagleray.errors import ModelSourceError
from eagleray.model import virtual_tokens
from eagleray.serving.slots import SlotCache

_ATTENTION = {"full_attention", "sliding_attention", "chunked_attention"}


@dataclass(slots=True)
class Prompts:
    """Prompts of like length that are being read, left-padded to the longest."""

    input_ids: torch.Tensor  # (rows, length) int64
    attention_mask: torch.Tensor  # (rows, length) int64
    position_ids: torch.Tensor  # (rows, length) int64
    lengths: list[int]
    cache: DynamicCache = field(default_factory=DynamicCache)
    num_read: int = 0  # columns


class Decoder:
    """A model and the rows that it is continuing, numbered from 0 without gaps."""

    def __init__(self, model: nn.Module, *, max_rows: int, chunk_tokens: int = 512) -> None:
        """A prompt longer than `chunk_tokens` is read in several steps.

        Raises:
            ModelSourceError: the model keeps another state than keys and values.
        """
        if virtual_tokens.is_prompt(model):
            raise ModelSourceError(
                "a learned prompt cannot be served as a stream: the model has a past before the first token; "
                "use `eagleray predict`, or train with method.type lora"
            )
        config: Any = model.config
        text_config = config.get_text_config(decoder=True)
        others = set(getattr(text_config, "layer_types", None) or ()) - _ATTENTION
        if others or getattr(model, "_is_stateful", False):
            raise ModelSourceError(
                f"{type(model).__name__} cannot be served as a stream: it keeps more than keys and values of its past "
                f"({', '.join(sorted(others)) or 'a state'}); use a decoder that has attention in every layer"
            )
        self.max_rows, self.chunk_tokens = max_rows, chunk_tokens
        self.max_length: int | None = getattr(text_config, "max_position_embeddings", None)
        decoder: Any = model
        self._model = decoder
        self.vocabulary_size = int(decoder.get_input_embeddings().num_embeddings)
        self._device = next(model.parameters()).device
        self._pad_id = getattr(config, "pad_token_id", None) or 0
        self._takes = set(inspect.signature(model.forward).parameters)
        self._slots = SlotCache(max_rows=max_rows)

    @property
    def num_rows(self) -> int:
        """Rows that are being continued."""
        return len(self._slots.lengths)

    def prepare(self, prompts: Sequence[Sequence[int]]) -> Prompts:
        """Begin to read prompts."""
        lengths = [len(prompt) for prompt in prompts]
        ids = torch.full((len(prompts), max(lengths)), self._pad_id, dtype=torch.int64)
        mask = torch.zeros_like(ids)
        for row, prompt in enumerate(prompts):
            ids[row, -len(prompt) :] = torch.tensor(prompt)
            mask[row, -len(prompt) :] = 1
        positions = (mask.cumsum(dim=-1) - 1).clamp(min=0)
        return Prompts(ids.to(self._device), mask.to(self._device), positions.to(self._device), lengths)

    @torch.inference_mode()
    def read(self, prompts: Prompts) -> torch.Tensor | None:
        """Read the next chunk. After the last: the logits of the first tokens, and the rows have joined."""
        per_row = max(1, self.chunk_tokens // len(prompts.lengths))
        end = min(prompts.num_read + per_row, prompts.input_ids.shape[1])
        chunk = slice(prompts.num_read, end)
        logits = self._forward(
            prompts.input_ids[:, chunk],
            attention_mask=prompts.attention_mask[:, :end],
            position_ids=prompts.position_ids[:, chunk],
            cache=prompts.cache,
        )
        prompts.num_read = end
        if end < prompts.input_ids.shape[1]:
            return None
        self._slots.join(prompts.cache, prompts.lengths)
        return logits

    @torch.inference_mode()
    def step(self, token_ids: Sequence[int]) -> torch.Tensor:
        """Give each row its next token; the logits of the one after, (rows, vocabulary) float32."""
        logits = self._forward(
            torch.tensor([[token] for token in token_ids], device=self._device),
            attention_mask=self._slots.attention_mask(self._device),
            position_ids=torch.tensor([[length] for length in self._slots.lengths], device=self._device),
            cache=self._slots,
        )
        self._slots.advance()
        return logits

    @torch.inference_mode()
    def leave(self, row: int) -> None:
        """Drop a row; the last one takes its number."""
        self._slots.leave(row)

    def clear(self) -> None:
        """Drop all rows."""
        self._slots.clear()

    def _forward(
        self,
        input_ids: torch.Tensor,
        *,
        attention_mask: torch.Tensor,
        position_ids: torch.Tensor,
        cache: DynamicCache | SlotCache,
    ) -> torch.Tensor:
        """The logits of the last column, (rows, vocabulary) float32."""
        # Of a long prompt the logits of one token are needed: a vocabulary of 50,000 makes the others the larger part.
        wished = {"position_ids": position_ids, "logits_to_keep": 1}
        output = self._model(
            input_ids=input_ids,
            attention_mask=attention_mask,
            past_key_values=cache,
            use_cache=True,
            **{name: value for name, value in wished.items() if name in self._takes},
        )
        logits: torch.Tensor = output.logits[:, -1].float()
        return logits
