"""What is image-classification: one label, or several, for an image?

Any model that `AutoModelForImageClassification` loads can learn it: transformers (ViT, DeiT, Swin) and convolutional
nets (ResNet, ConvNeXT). Images are decoded once, at the model's size; what is trained on is cut and turned anew in each
epoch.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from transformers import AutoModelForImageClassification

from eagleray.metrics.base import Metrics
from eagleray.model import images
from eagleray.model.images import ImageReader
from eagleray.spec.task.image_classification import ImageAugmentSpec
from eagleray.tasks import augmentation, problems
from eagleray.tasks.base import Batch, Forward, Row, Sample, Verdict
from eagleray.tasks.problems import Problem

_AS_IT_IS = ImageAugmentSpec()
_ANY_SIZE = ImageReader(height=1, width=1)  # to see whether an image can be opened at all


@dataclass(frozen=True, slots=True)
class ImageClassification:
    """Rows: `{"image", "digest", "label"}`: a path or data URI, and the hash of the file. Batches: `pixel_values`,
    (rows, 3, height, width) float32, `labels` and `weights`."""

    problem: Literal["single-label", "multi-label"] = "single-label"
    image: str = "image"
    label: str = "label"
    labels: tuple[str, ...] = ()
    label_separator: str = ","
    augment: ImageAugmentSpec = _AS_IT_IS
    max_broken: float = 0.0
    reader: ImageReader | None = None

    @property
    def main_metric(self) -> tuple[str, Literal["max", "min"]]:
        return self._problem.main_metric

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.image, self.label)

    def read(self, raw: Mapping[str, Any]) -> Row:
        value = _named(raw, self.image)
        data = _content(value, column=self.image)
        _checked(_ANY_SIZE, data, column=self.image, value=value)
        digest = hashlib.sha256(data).hexdigest()
        return {"image": value, "digest": digest, "label": self._problem.read(raw.get(self.label), column=self.label)}

    def read_input(self, raw: Mapping[str, Any]) -> Row:
        value = _named(raw, self.image)
        _content(value, column=self.image)
        return {"image": value}

    def asked(self, row: Row) -> dict[str, Any]:
        """The image itself, at the model's size: whoever is asked has no files of ours."""
        data = images.png(_pixels(self._reader, row["image"], column=self.image))
        return {self.image: f"data:image/png;base64,{base64.b64encode(data).decode()}"}

    def identity(self, row: Row) -> str:
        return str(row["digest"])

    def labels_of(self, row: Row) -> tuple[str, ...]:
        return self._problem.labels_of(row["label"])

    def with_labels(self, labels: tuple[str, ...]) -> ImageClassification:
        return replace(self, labels=labels)

    def bound_to(self, reader: ImageReader) -> ImageClassification:
        return replace(self, reader=reader)

    def encode(self, rows: list[Row], reader: Any, max_length: int) -> dict[str, list[Any]]:
        """`pixels`, (height * width * 3,) uint8; every image counts for one in a batch."""
        ones = [1] * len(rows)
        columns: dict[str, list[Any]] = {
            "pixels": [_pixels(reader, row["image"], column=self.image).reshape(-1) for row in rows],
            "length": ones,
            "full_length": ones,
            "num_targets": [int("label" in row) for row in rows],
        }
        if rows and all("label" in row for row in rows):
            columns["label"] = self._problem.encode([row["label"] for row in rows])
        return columns

    def collate(
        self, samples: list[Sample], *, weights: np.ndarray, pad_id: int, packed: bool = False, max_length: int
    ) -> Batch:
        if packed:
            raise ValueError("image-classification has one output a row: samples cannot be packed")
        batch = {
            "pixel_values": self._reader.tensor(np.stack([self._seen(sample) for sample in samples])),
            "weights": torch.as_tensor(weights, dtype=torch.float32),
        }
        if "label" in samples[0]:
            batch["labels"] = self._problem.tensor([sample["label"] for sample in samples])
        return batch

    def num_targets(self, batch: Batch) -> float:
        """Rows."""
        return float(batch["weights"].sum())

    def loss(
        self, forward: Forward, batch: Batch, *, label_smoothing: float = 0.0
    ) -> tuple[torch.Tensor, torch.Tensor]:
        logits = forward(pixel_values=batch["pixel_values"]).logits.float()
        losses = self._problem.losses(logits, batch["labels"], label_smoothing=label_smoothing)
        return (losses * batch["weights"]).sum(), logits

    def row_losses(self, logits: torch.Tensor, batch: Batch) -> torch.Tensor | None:
        return self._problem.losses(logits, batch["labels"], label_smoothing=0.0).cpu()

    def verdict(self, logits: torch.Tensor, batch: Batch, row: int) -> Verdict:
        return self._problem.verdict(logits[row].cpu(), batch["labels"][row].cpu())

    @property
    def numbered(self) -> tuple[str, ...]:
        return self.labels

    def compared(self, logits: torch.Tensor, batch: Batch) -> Iterator[tuple[Any, Any]]:
        """Labels."""
        return self._problem.compared(logits.cpu(), batch["labels"].cpu())

    def shown(self, row: Row) -> str:
        return str(row["image"])

    def new_metrics(self) -> Metrics:
        return self._problem.new_metrics()

    def model_class(self) -> type[Any]:
        return AutoModelForImageClassification

    def config_overrides(self, reader: Any) -> dict[str, Any]:
        return self._problem.config()

    def predict(self, model: Any, reader: Any, batch: Batch) -> list[dict[str, Any]]:
        return self._problem.results(model(pixel_values=batch["pixel_values"]).logits.float())

    @property
    def _problem(self) -> Problem:
        return problems.build(self.problem, labels=self.labels, label_separator=self.label_separator)

    @property
    def _reader(self) -> ImageReader:
        assert self.reader is not None, "the task is not bound to its image reader"
        return self.reader

    def _seen(self, sample: Sample) -> np.ndarray:
        """The image as it is, or where it is trained on what augmentation makes of it: (height, width, 3) uint8."""
        reader = self._reader
        pixels = np.asarray(sample["pixels"], dtype=np.uint8).reshape(reader.height, reader.width, 3)
        if "draw" not in sample:
            return pixels
        draw = (*sample["draw"], sample["index"])
        if self.augment.crop < 1.0:
            shape = reader.height, reader.width
            top, left, height, width = augmentation.box(*shape, smallest_share=self.augment.crop, draw=draw)
            pixels = reader.resized(pixels[top : top + height, left : left + width])
        return pixels[:, ::-1] if self.augment.flip and augmentation.is_flipped(draw=draw) else pixels


def _named(raw: Mapping[str, Any], column: str) -> str:
    value = raw.get(column)
    if not isinstance(value, str) or not value.strip():
        what = "missing" if column not in raw else "empty" if not value else f"{type(value).__name__}, no text"
        raise ValueError(f"column `{column}` is {what}: give the path of an image, or data:image/png;base64,…")
    return value


def _content(value: str, *, column: str) -> bytes:
    """The file that a path or data URI means."""
    if value.startswith("data:"):
        header, _, encoded = value.partition(",")
        if not header.endswith(";base64"):
            raise ValueError(
                f"column `{column}` holds a data URI that is not base64: data:image/png;base64,… is wanted"
            )
        try:
            return base64.b64decode(encoded, validate=True)
        except binascii.Error as error:
            raise ValueError(f"column `{column}` holds a data URI that is no base64: {error}") from None
    try:
        return Path(value).read_bytes()
    except OSError as error:
        raise ValueError(f"column `{column}`: {value} cannot be read: {error.strerror}") from None


def _pixels(reader: ImageReader, value: str, *, column: str) -> np.ndarray:
    return _checked(reader, _content(value, column=column), column=column, value=value)


def _checked(reader: ImageReader, data: bytes, *, column: str, value: str) -> np.ndarray:
    try:
        return reader.pixels(data)
    except ValueError as error:
        shown = "the data URI" if value.startswith("data:") else value
        raise ValueError(f"column `{column}`: {shown}: {error}") from None
