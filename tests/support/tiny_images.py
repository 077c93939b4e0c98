"""Small pictures that a small model can tell apart, and models of images of a few thousand random weights."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import torch
from transformers import ResNetConfig, ResNetForImageClassification, ViTConfig, ViTForImageClassification

from eagleray.model import images
from eagleray.model.images import ImageReader

SIZE = 16


def picture(label: str, number: int, *, size: int = 8) -> np.ndarray:
    """Bright above or below, with some noise that is the picture's own: (size, size, 3) uint8."""
    noise = np.random.Philox(key=number).random_raw(size * size * 3).reshape(size, size, 3) % 60
    half = slice(0, size // 2) if label == "above" else slice(size // 2, size)
    noise[half] += 150
    return noise.astype(np.uint8)


def write_folders(directory: Path, *, num_each: int) -> Path:
    """Two folders of PNG files."""
    for label in ("above", "below"):
        folder = directory / label
        folder.mkdir(parents=True)
        for number in range(num_each):
            data = images.png(picture(label, number + 1_000 * (label == "below")))
            (folder / f"{number:03}.png").write_bytes(data)
    return directory


def save_model(directory: Path, *, kind: Literal["vit", "resnet"] = "vit") -> Path:
    """A ViT of two layers or a ResNet of two stages, and what it wants of images."""
    torch.manual_seed(0)
    if kind == "vit":
        sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
        model = ViTForImageClassification(ViTConfig(image_size=SIZE, patch_size=4, **sizes))
    else:
        model = ResNetForImageClassification(
            ResNetConfig(embedding_size=16, hidden_sizes=[16, 32], depths=[1, 1], layer_type="basic")
        )
    model.save_pretrained(directory)
    ImageReader(height=SIZE, width=SIZE).save_pretrained(directory)
    return directory
