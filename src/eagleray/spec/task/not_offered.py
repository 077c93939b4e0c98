"""Which tasks are asked for and not offered, and what does the same instead?"""

from __future__ import annotations

from typing import Final

_REGIONS = (
    "its targets are {what}, so augmentation has to move them with the pixels and its metric ({metric}) is no sum over "
    "rows, which every metric here is: train it by transformers' own example, run_{script}.py, with Accelerate. What "
    "an image shows as a whole is image-classification"
)

NOT_OFFERED: Final = {
    "object-detection": _REGIONS.format(what="boxes", metric="mean average precision", script="object_detection"),
    "image-segmentation": _REGIONS.format(
        what="masks of pixels", metric="the mean overlap of regions", script="semantic_segmentation"
    ),
    "meta-learning": (
        "it learns from many small tasks by steps within steps, which one optimizer over one loss does not take: for "
        "few rows, fine-tune by lora from a model of a related task, or of a first stage (spec.stages)"
    ),
}
"""Why, and what to use, by `type`."""
