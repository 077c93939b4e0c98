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


def export(
    model: nn.Module,
    inputs: Mapping[str, torch.Tensor],
    file: Path,
    *,
    output: str = "logits",
    lengths: Mapping[str, str] | None = None,
) -> None:
    """Write the forward pass of a model in fp32, for any number of rows of any length.

    `inputs` are an example of what the model is called with: (rows, length, …) each, both at least 2, since the
    exporter takes a dimension of 1 for one that is always 1. `lengths` names the length of each input, where those of
    some may differ from others'; else all texts have one, and images none. What the model returns as `logits` is called
    `output`.

    Raises:
        NotExportable: it is too large, or does what ONNX cannot express.
    """
    size_bytes = sum(parameter.numel() * 4 for parameter in model.parameters())
    if size_bytes > _MAX_BYTES:
        raise NotExportable(f"its weights are {size_bytes / 2**30:.1f} GiB, an ONNX file holds 2")
    names = list(inputs)
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        with plain_attention(model), quiet_exporter(), torch.no_grad():
            torch.onnx.export(
                Forward(model, names).eval(),
                tuple(tensor.cpu() for tensor in inputs.values()),
                file,
                dynamo=True,
                input_names=names,
                output_names=[output],
                dynamic_shapes=(_dimensions(inputs, lengths),),
                external_data=False,
                verbose=False,
            )
    except (RuntimeError, ValueError, TypeError, NotImplementedError, AttributeError) as error:
        first, *_ = str(error).strip().splitlines() or [type(error).__name__]
        raise NotExportable(f"torch.onnx.export: {first}") from error


def _dimensions(inputs: Mapping[str, torch.Tensor], lengths: Mapping[str, str] | None) -> tuple[dict[int, Any], ...]:
    """Which dimensions of the inputs may be of any size, as `torch.export` takes it; `lengths` as in `export`."""
    # Of images only the number differs: (rows, 3, height, width).
    texts = {name: "length" for name, tensor in inputs.items() if tensor.dim() == 2}
    named = texts if lengths is None else lengths
    rows = torch.export.Dim("rows")
    any_size = {name: torch.export.Dim(name) for name in named.values()}
    return tuple({0: rows, 1: any_size[named[name]]} if name in named else {0: rows} for name in inputs)


def quantise(fp32: Path, int8: Path) -> None:
    """Write a quarter of the size: 8-bit weights, activations quantised as they come (dynamic quantisation).

    Weights have a scale for each output (`per_channel`) and use 7 bits (`reduce_range`): with 8, CPUs without VNNI
    overflow where they add two products, and answer otherwise than the machine that the file was checked on. Either
    way MiniLM gave 397 of 400 film reviews the label that it gives in fp32; with one scale for all outputs 377.
    """
    graph = onnx.load(fp32)
    add_pre_process_metadata(graph)  # else it advises a step that this exporter's graphs do not need
    quantize_dynamic(graph, int8, per_channel=True, reduce_range=True, weight_type=QuantType.QInt8)


class Forward(nn.Module):
    """A model that takes its inputs in a fixed order and returns its logits alone."""

    def __init__(self, model: nn.Module, names: list[str]) -> None:
        super().__init__()
        self._model, self._names = model, names

    def forward(self, *inputs: torch.Tensor) -> Any:
        return logits(self._model(**dict(zip(self._names, inputs, strict=True))))


@contextmanager
def plain_attention(model: nn.Module) -> Iterator[None]:
    """Attention as matrix products: torch's own kernel becomes them too, with checks for NaN that cost time."""
    before = {inner: inner.config._attn_implementation for inner in _outermost(model)}
    try:
        for inner in before:
            inner.set_attn_implementation("eager")
        yield
    finally:
        for inner, implementation in before.items():
            inner.set_attn_implementation(implementation)


def _outermost(module: nn.Module) -> Iterator[PreTrainedModel]:
    """The models of transformers in a module; those within one of them follow it."""
    if isinstance(module, PreTrainedModel):
        yield module
        return
    for child in module.children():
        yield from _outermost(child)


@contextmanager
def quiet_exporter() -> Iterator[None]:
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
