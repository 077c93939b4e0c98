"""How does a trained model become a program of `torch.export`, which runs without its Python code?

Not TorchScript: torch has deprecated it, and what it compiles of transformers' models changes with each release.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from eagleray.model import onnx
from eagleray.model.onnx import NotExportable
from eagleray.model.outputs import Output

FILE = "model.pt2"


class Program:
    """A program as a model."""

    def __init__(self, file: Path, names: tuple[str, ...]) -> None:
        """`names` are those that the program is called with, in their order."""
        self._module: Any = torch.export.load(file).module()
        self._names = names

    def __call__(self, **inputs: torch.Tensor) -> Output:
        return Output(self._module(*(inputs[name] for name in self._names)))


def export(model: nn.Module, inputs: Mapping[str, torch.Tensor], file: Path) -> Program:
    """Write the forward pass of a model for any number of rows of any length; `inputs` as for `onnx.export`.

    Raises:
        NotExportable: it does what a program cannot.
    """
    names = tuple(inputs)
    file.parent.mkdir(parents=True, exist_ok=True)
    example = tuple(tensor.cpu() for tensor in inputs.values())
    forward = onnx.Forward(model, list(names)).eval()
    # Of images only the number differs. How long texts may be follows from the model's own positions.
    some = torch.export.Dim.DYNAMIC
    shapes = tuple({0: some, 1: some} if tensor.dim() == 2 else {0: some} for tensor in example)
    try:
        with onnx.plain_attention(model), onnx.quiet_exporter(), torch.no_grad():
            program = torch.export.export(forward, example, dynamic_shapes=(shapes,))
            torch.export.save(program, file)
    except (RuntimeError, ValueError, TypeError, NotImplementedError, AttributeError) as error:
        first, *_ = str(error).strip().splitlines() or [type(error).__name__]
        raise NotExportable(f"torch.export: {first}") from error
    return Program(file, names)
