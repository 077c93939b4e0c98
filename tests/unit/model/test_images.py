"""Images come out as transformers' own processors make them, and what cannot be opened is said to be so."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import ConvNextImageProcessorPil, ViTImageProcessorPil

from eagleray.errors import ModelSourceError
from eagleray.model import images
from eagleray.model.images import ImageReader
from tests.support import tiny_images


def _file(width: int, height: int, mode: str = "RGB") -> bytes:
    pixels = np.random.default_rng(0).integers(0, 255, size=(height, width, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(buffer, format="PNG")
    return buffer.getvalue()


def _model(directory: Path, *, config: dict[str, Any], facts: dict[str, Any] | None) -> str:
    (directory / "config.json").write_text(json.dumps(config))
    if facts is not None:
        (directory / images.FILE).write_text(json.dumps(facts))
    return str(directory)


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "P"])
@pytest.mark.parametrize("size", [(40, 30), (17, 60)], ids=["wide", "high"])
@pytest.mark.parametrize(
    "processor",
    [
        pytest.param(ViTImageProcessorPil(size={"height": 20, "width": 24}), id="both sides scaled"),
        pytest.param(
            ViTImageProcessorPil(
                size={"shortest_edge": 24}, do_center_crop=True, crop_size={"height": 20, "width": 20}
            ),
            id="middle cut out",
        ),
        pytest.param(ViTImageProcessorPil(size={"height": 8, "width": 8}, do_normalize=False), id="not centred"),
        pytest.param(ConvNextImageProcessorPil(size={"shortest_edge": 24}, crop_pct=0.8), id="a share cut out"),
        pytest.param(ConvNextImageProcessorPil(size={"shortest_edge": 384}, crop_pct=0.8), id="large ones scaled"),
    ],
)
def test_pixels_are_those_of_transformers(processor: Any, size: tuple[int, int], mode: str, tmp_path: Path) -> None:
    data = _file(*size, mode)
    reader = images.load_reader(source=_model(tmp_path, config={}, facts=processor.to_dict()))

    with Image.open(io.BytesIO(data)) as image:
        expected = processor(image.convert("RGB"), return_tensors="pt")["pixel_values"]
    torch.testing.assert_close(reader.tensor(reader.pixels(data)[None]), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("config", "facts", "size"),
    [
        pytest.param({"image_size": 32}, None, (32, 32), id="of the config"),
        pytest.param({"image_size": [16, 32]}, None, (16, 32), id="two sides"),
        pytest.param({"num_channels": 3}, None, (224, 224), id="of most models"),
        pytest.param({"image_size": 32}, {"size": 64}, (64, 64), id="a number"),
        pytest.param({}, {"size": {"shortest_edge": 64}}, (64, 64), id="shortest edge alone"),
    ],
)
def test_sizes(config: dict[str, Any], facts: dict[str, Any] | None, size: tuple[int, int], tmp_path: Path) -> None:
    reader = images.load_reader(source=_model(tmp_path, config=config, facts=facts))

    assert (reader.height, reader.width) == size
    assert reader.pixels(_file(10, 30)).shape == (*size, 3)


def test_a_model_of_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelSourceError, match="says nothing of images"):
        images.load_reader(source=_model(tmp_path, config={"vocab_size": 3}, facts=None))


def test_what_is_saved_is_read_again_also_by_transformers(tmp_path: Path) -> None:
    reader = ImageReader(height=20, width=20, mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6), edge=24)
    reader.save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text("{}")

    assert images.load_reader(source=str(tmp_path)) == reader
    assert ViTImageProcessorPil.from_pretrained(tmp_path).image_mean == (0.1, 0.2, 0.3)


@pytest.mark.parametrize("data", [b"", b"no image", _file(8, 8)[:60]], ids=["empty", "text", "cut short"])
def test_what_cannot_be_opened(data: bytes) -> None:
    with pytest.raises(ValueError, match="no image that can be opened"):
        ImageReader(height=8, width=8).pixels(data)


def test_a_png_is_what_it_was() -> None:
    pixels = tiny_images.picture("above", 1)

    assert (ImageReader(height=8, width=8).pixels(images.png(pixels)) == pixels).all()
