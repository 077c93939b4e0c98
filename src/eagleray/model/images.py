"""How does a model want its images: their size, and what black and white are to it?

What transformers keeps in `preprocessor_config.json`, read and written here with Pillow and numpy alone: its own
processors want torchvision, and do the same.
"""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from transformers import AutoConfig
from transformers.image_processing_base import ImageProcessingMixin

from eagleray.errors import ModelSourceError
from eagleray.model import hub, sources

FILE = "preprocessor_config.json"
_DEFAULT_SIZE = 224
_SCALED_FROM = 384
_GREY = (0.5, 0.5, 0.5)


@dataclass(frozen=True, slots=True)
class ImageReader:
    """Makes of an image what a model takes; stands where text has its tokenizer."""

    height: int
    width: int
    mean: tuple[float, ...] = _GREY
    std: tuple[float, ...] = _GREY
    scale: float = 1 / 255
    resample: int = int(Image.Resampling.BILINEAR)
    edge: int | None = None  # the shorter side is brought to it and the middle cut out; None: both sides are scaled
    pad_token_id: int = 0  # images are of one size: nothing is padded

    def pixels(self, data: bytes) -> np.ndarray:
        """An image file as (height, width, 3) uint8. Raises ValueError where it cannot be opened."""
        try:
            with Image.open(io.BytesIO(data)) as image:
                return self._fitted(image.convert("RGB"))
        except UnidentifiedImageError:
            raise ValueError("no image that can be opened: it is empty, damaged or of an unknown format") from None
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise ValueError(f"no image that can be opened: {error}") from None

    def tensor(self, pixels: np.ndarray) -> torch.Tensor:
        """(rows, height, width, 3) uint8 as (rows, 3, height, width) float32, scaled and centred."""
        mean, std = (np.array(values, dtype=np.float32) for values in (self.mean, self.std))
        centred = (pixels.astype(np.float32) * np.float32(self.scale) - mean) / std
        return torch.from_numpy(np.ascontiguousarray(centred.transpose(0, 3, 1, 2)))

    def resized(self, pixels: np.ndarray) -> np.ndarray:
        """A part of an image, (any, any, 3) uint8, at full size."""
        whole = Image.fromarray(pixels).resize((self.width, self.height), Image.Resampling(self.resample))
        return np.asarray(whole, dtype=np.uint8)

    def save_pretrained(self, directory: Path | str) -> None:
        """Write what transformers' image processors read."""
        edges = {"height": self.height, "width": self.width}
        cropped = {"size": {"shortest_edge": self.edge}, "do_center_crop": True, "crop_size": edges}
        facts = {
            "image_processor_type": "ViTImageProcessor",
            "do_resize": True,
            **(cropped if self.edge else {"size": edges}),
            "do_rescale": True,
            "rescale_factor": self.scale,
            "do_normalize": True,
            "image_mean": list(self.mean),
            "image_std": list(self.std),
            "resample": self.resample,
        }
        (Path(directory) / FILE).write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")

    def fingerprint(self) -> str:
        """A sha256 over all that decides how a file becomes pixels."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()

    def _fitted(self, image: Image.Image) -> np.ndarray:
        if self.edge is not None:
            shorter = min(image.size)
            width, height = (int(self.edge * side / shorter) for side in image.size)
            image = image.resize((width, height), Image.Resampling(self.resample))
            left, top = (image.width - self.width) // 2, (image.height - self.height) // 2
            image = image.crop((left, top, left + self.width, top + self.height))
        if image.size != (self.width, self.height):
            image = image.resize((self.width, self.height), Image.Resampling(self.resample))
        return np.asarray(image, dtype=np.uint8)


def png(pixels: np.ndarray) -> bytes:
    """(height, width, 3) uint8 as a PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue()


def load_reader(*, source: str, revision: str = "main", allow_remote_code: bool = False) -> ImageReader:
    """The reader of a source's images; where it says nothing, one for the size that its config names.

    Raises:
        ModelSourceError: it is no model of images, or its files are damaged.
    """
    place = sources.locate(source)
    if isinstance(place, Path):
        facts, config = (sources.read_json(place / name, source=source) for name in (FILE, "config.json"))
        if not facts:  # beside an adapter there is no config.json
            sources.check_config(place, source=source)
    else:
        facts, config = _of_hub(place, revision=revision, allow_remote_code=allow_remote_code, source=source)
    if not facts and "image_size" not in config and "num_channels" not in config:
        raise ModelSourceError(
            f"model.source {source}: it says nothing of images ({FILE} is missing, and config.json names no image_size "
            "or num_channels): choose a model of images (ViT, ResNet, ConvNeXT, …)"
        )
    return _reader(facts, config)


def _of_hub(name: str, *, revision: str, allow_remote_code: bool, source: str) -> tuple[dict[str, Any], dict[str, Any]]:
    options: dict[str, Any] = {"revision": revision, "local_files_only": not hub.is_reachable()}
    try:
        config = AutoConfig.from_pretrained(name, trust_remote_code=allow_remote_code, **options).to_dict()
    except (OSError, ValueError) as error:
        raise ModelSourceError(f"model.source {source}: its config cannot be loaded: {error}") from error
    try:
        facts, _ = ImageProcessingMixin.get_image_processor_dict(name, **options)
    except OSError:  # it has none
        facts = {}
    return facts, config


def _reader(facts: dict[str, Any], config: dict[str, Any]) -> ImageReader:
    named = facts.get("size", config.get("image_size") or _DEFAULT_SIZE)
    edge = named.get("shortest_edge") if isinstance(named, dict) else None
    height, width = _sides(facts.get("crop_size", edge) if edge else named)
    crops = facts.get("do_center_crop", True)
    if facts.get("crop_pct"):  # ConvNeXT's: of small images so much of the shorter side is kept, large ones are scaled
        edge, crops = int(height / facts["crop_pct"]), height < _SCALED_FROM
    mean, std = (tuple(facts.get(key) or _GREY) for key in ("image_mean", "image_std"))
    normalises = facts.get("do_normalize", True)
    return ImageReader(
        height=height,
        width=width,
        mean=mean if normalises else (0.0,) * 3,
        std=std if normalises else (1.0,) * 3,
        scale=float(facts.get("rescale_factor", 1 / 255)) if facts.get("do_rescale", True) else 1.0,
        resample=int(facts.get("resample") or Image.Resampling.BILINEAR),
        edge=edge if edge and crops and edge >= max(height, width) else None,
    )


def _sides(size: Any) -> tuple[int, int]:
    match size:
        case {"height": height, "width": width}:
            return int(height), int(width)
        case {"shortest_edge": edge}:
            return int(edge), int(edge)
        case [height, width]:
            return int(height), int(width)
    return int(size), int(size)
