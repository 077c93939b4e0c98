"""Rules of CustomResourceDefinitions in CEL, evaluated here as the API server evaluates them there."""

from __future__ import annotations

from typing import Any

import cel


def holds(expression: str, value: Any) -> bool:
    """Whether a rule holds of `self`."""
    return bool(cel.evaluate(expression, {"self": value}))
