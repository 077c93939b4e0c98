"""Rules of CustomResourceDefinitions in CEL, evaluated here as the API server evaluates them there."""

from __future__ import annotations

from typing import Any

from eagleray.errors import UserError


def holds(expression: str, value: Any) -> bool:
    """Whether a rule holds of `self`. Raises UserError where the extra `validate` is not installed."""
    try:
        import cel
    except ImportError as error:
        raise UserError('--validate needs the extra: pip install "eagleray[validate]"') from error
    return bool(cel.evaluate(expression, {"self": value}))
