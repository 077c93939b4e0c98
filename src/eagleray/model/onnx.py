"""How does a trained model become an ONNX file, and a smaller one of 8-bit weights?"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import onnx
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.quantization.quant_utils import add_pre_process_metadata
from torch import nn
from transformers import PreTrainedModel

from eagleray.errors import EaglerayError
from eagleray.model.outputs import logits

_MAX_BYTES = 2**31 - 2**24  # a protobuf holds 2 GiB; some of it is the graph


class NotExportable(EaglerayError):
    """A model that cannot be an ONNX file."""


def export(model: nn.Module, inputs: Mapping[str, torch.Tensor], file: Path) -> None:
    """Write the forward pass of a model in fp32, for any number of rows of any length.

    `inputs` are an example of what the model is called with: (rows, length) each, both at least 2, since the exporter
    takes a dimension of 1 for one that is always 1.

    Raises:
        NotExportable: it is too large, or does what ONNX cannot express.
    """
    size_bytes = sum(parameter.numel() * 4 for parameter in model.parameters())
    if size_bytes > _MAX_BYTES:
        raise NotExportable(f"its weights are {size_bytes / 2**30:.1f} GiB, an ONNX file holds 2")
    names = list(inputs)
    file.parent.mkdir(parents=True, exist_ok=True)
    rows, length = torch.export.Dim("rows"), torch.export.Dim("length")
    # Of images only the number differs: (rows, 3, height, width).
    dimensions = tuple({0: rows, 1: length} if tensor.dim() == 2 else {0: rows} for tensor in inputs.values())
    try:
        with _plain_attention(model), _quiet(), torch.no_grad():
            torch.onnx.export(
                _Forward(model, names).eval(),
                tuple(tensor.cpu() for tensor in inputs.values()),
                file,
                dynamo=True,
                input_names=names,
                output_names=["logits"],
                dynamic_shapes=(dimensions,),
                external_data=False,
                verbose=False,
            )
    except (RuntimeError, ValueError, TypeError, NotImplementedError, AttributeError) as error:
        first, *_ = str(error).strip().splitlines() or [type(error).__name__]
        raise NotExportable(f"torch.onnx.export: {first}") from error


def quantise(fp32: Path, int8: Path) -> None:
    """Write a quarter of the size: 8-bit weights, activations quantised as they come (dynamic quantisation).

    Weights have a scale for each output (`per_channel`) and use 7 bits (`reduce_range`): with 8, CPUs without VNNI
    overflow where they add two products, and answer otherwise than the machine that the file was checked on. Either
    way MiniLM gave 397 of 400 film reviews the label that it gives in fp32; with one scale for all outputs 377.
    """
    graph = onnx.load(fp32)
    add_pre_process_metadata(graph)  # else it advises a step that this exporter's graphs do not need
    quantize_dynamic(graph, int8, per_channel=True, reduce_range=True, weight_type=QuantType.QInt8)


class _Forward(nn.Module):
    """A model that takes its inputs in a fixed order and returns its logits alone."""

    def __init__(self, model: nn.Module, names: list[str]) -> None:
        super().__init__()
        self._model, self._names = model, names

    def forward(self, *inputs: torch.Tensor) -> Any:
        return logits(self._model(**dict(zip(self._names, inputs, strict=True))))


@contextmanager
def _plain_attention(model: nn.Module) -> Iterator[None]:
    """Attention as matrix products: torch's own kernel becomes them too, with checks for NaN that cost time."""
    if not isinstance(model, PreTrainedModel):
        yield
        return
    before = model.config._attn_implementation
    model.set_attn_implementation("eager")
    try:
        yield
    finally:
        model.set_attn_implementation(before)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what the exporter says of packages that it does not need, and of its own deprecated calls."""
    logger = logging.getLogger("torch.onnx")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(before)
