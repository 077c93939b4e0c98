"""Write scikit-learn's handwritten digits as PNG files, a folder a digit, and a small random ViT that learns them.

    python jobs/finetune/data/digits.py

They lie beside this file, in `digits/`: `train` (1,437 images), `test` (every fifth, 360) and `model`.
"""

from __future__ import annotations

from pathlib import Path

import torch
from PIL import Image
from sklearn.datasets import load_digits
from transformers import ViTConfig, ViTForImageClassification

from eagleray.model.images import ImageReader

SIZE = 8
FOLDER = Path(__file__).with_suffix("")


def main() -> None:
    """Write all of it; what is there is written anew."""
    digits = load_digits()
    for number, (pixels, digit) in enumerate(zip(digits.images, digits.target, strict=True)):
        folder = FOLDER / ("test" if number % 5 == 4 else "train") / str(digit)
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray((pixels * 255 / 16).astype("uint8")).save(folder / f"{number:04}.png")
    torch.manual_seed(0)
    sizes = {"hidden_size": 64, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 128}
    ViTForImageClassification(ViTConfig(image_size=SIZE, patch_size=2, **sizes)).save_pretrained(FOLDER / "model")
    ImageReader(height=SIZE, width=SIZE).save_pretrained(FOLDER / "model")


if __name__ == "__main__":
    main()
