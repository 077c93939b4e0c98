"""Which pretrained model a run starts from, and what may be loaded from it."""

from __future__ import annotations

from eagleray.spec.base import Spec, Text


class ModelSpec(Spec):
    """The pretrained model."""

    source: Text
    """A hub id (`owner/name`), a directory, a `.gguf` file, or `pkg://package/path` inside an installed package."""
    revision: Text = "main"
    """Branch, tag or commit of a hub id."""
    allow_pickle: bool = False
    """Load weights that are stored as a pickle (`pytorch_model.bin`). A pickle can run any code."""
    allow_remote_code: bool = False
    """Run Python code that the model's repository brings along."""
