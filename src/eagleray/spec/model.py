"""Which pretrained model a run starts from, and what may be loaded from it."""

from __future__ import annotations

from typing import Literal

from eagleray.spec.base import Spec, Text


class Nf4Spec(Spec):
    """Four bits a weight, as QLoRA has them (Dettmers et al. 2023, arXiv:2305.14314). Needs a GPU and bitsandbytes."""

    type: Literal["nf4"]
    """How the pretrained weights are held."""
    double: bool = True
    """Quantise the scales of the weights, too: half a bit a weight less."""


class ModelSpec(Spec):
    """The pretrained model."""

    source: Text
    """A hub id (`owner/name`), a directory, a `.gguf` file, or `pkg://package/path` inside an installed package."""
    revision: Text = "main"
    """Branch, tag or commit of a hub id."""
    quantization: Nf4Spec | None = None
    """Hold the pretrained weights in fewer bits while adapters learn. Left out: as `train.precision` says."""
    allow_pickle: bool = False
    """Load weights that are stored as a pickle (`pytorch_model.bin`). A pickle can run any code."""
    allow_remote_code: bool = False
    """Run Python code that the model's repository brings along."""
