"""How do several models of one shape become one, by the mean of their weights (arXiv:2203.05482)?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from eagleray.errors import UserError


def average(files: Sequence[Path], to: Path, *, weights: Sequence[float]) -> None:
    """Write the weighted mean of the weights of safetensors files, a tensor of all of them in memory at a time.

    What is no fraction, such as positions, is that of the first.

    Raises:
        UserError: their shapes are not the same; says which weight's.
    """
    shares = [weight / sum(weights) for weight in weights]
    opened: list[Any] = [safe_open(file, framework="pt") for file in files]
    names = list(opened[0].keys())
    for number, other in enumerate(opened[1:], start=2):
        _check_same(opened[0], other, number)
    found: dict[str, torch.Tensor] = {}
    for name in names:
        first = opened[0].get_tensor(name)
        if not first.is_floating_point():
            found[name] = first
            continue
        total = torch.zeros_like(first, dtype=torch.float64)
        for share, each in zip(shares, opened, strict=True):
            total += share * each.get_tensor(name)
        found[name] = total.to(first.dtype)
    save_file(found, to, metadata={"format": "pt"})


def _check_same(first: Any, other: Any, number: int) -> None:
    unlike = sorted(set(first.keys()) ^ set(other.keys()))
    unlike += [
        name
        for name in first.keys()  # noqa: SIM118  # it is no mapping
        if not unlike and first.get_slice(name).get_shape() != other.get_slice(name).get_shape()
    ]
    if unlike:
        raise UserError(
            f"--combine soup: member {number} has another shape than the first, by {unlike[0]}: their weights have no "
            "mean; use `mean` or `vote`, or search no key that changes the model's shape"
        )
