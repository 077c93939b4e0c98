"""How do the two halves of a seq2seq model become ONNX files: what reads the source, and what says the next token?

The decoder is given all that was said so far at every step. Keeping its keys and values from step to step would save
time, and make a file that fits one runtime's loop alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import nn
from transformers.modeling_outputs import BaseModelOutput

from eagleray.model import onnx

ENCODER, DECODER = "onnx/encoder_{precision}.onnx", "onnx/decoder_{precision}.onnx"
READ, SAID = "last_hidden_state", "logits"
"""What the halves return: (rows, length, width) of the source, and (rows, said, vocabulary) of what comes next."""


@dataclass(frozen=True, slots=True)
class Example:
    """What a model is called with: `source` are `input_ids` and `attention_mask`; `said` is (rows, length) int64."""

    source: Mapping[str, torch.Tensor]
    said: torch.Tensor


def export(model: Any, example: Example, directory: Path) -> tuple[Path, Path]:
    """Write both halves in fp32. Raises NotExportable."""
    encoder, decoder = (directory / name.format(precision="fp32") for name in (ENCODER, DECODER))
    onnx.export(Encoder(model), example.source, encoder, output=READ)
    inputs = decoder_inputs(Encoder(model)(**example.source).logits, example)
    lengths = {"decoder_input_ids": "said", "encoder_hidden_states": "length", "encoder_attention_mask": "length"}
    onnx.export(Decoder(model), inputs, decoder, output=SAID, lengths=lengths)
    return encoder, decoder


def decoder_inputs(read: torch.Tensor, example: Example) -> dict[str, torch.Tensor]:
    """What the decoder is called with once the source is read."""
    return {
        "decoder_input_ids": example.said,
        "encoder_hidden_states": read,
        "encoder_attention_mask": example.source["attention_mask"],
    }


class Encoder(nn.Module):
    """Reads the source."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self._encoder = model.get_encoder()

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> Any:
        """(rows, length) int64 each; `logits` is (rows, length, width)."""
        found = self._encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        return SimpleNamespace(logits=found)


class Decoder(nn.Module):
    """Says what comes next, for each token that was said."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self._model = model

    def forward(
        self,
        decoder_input_ids: torch.Tensor,
        encoder_hidden_states: torch.Tensor,
        encoder_attention_mask: torch.Tensor,
    ) -> Any:
        """`logits` is (rows, said, vocabulary)."""
        return self._model(
            encoder_outputs=BaseModelOutput(last_hidden_state=encoder_hidden_states),
            attention_mask=encoder_attention_mask,
            decoder_input_ids=decoder_input_ids,
            use_cache=False,
        )
