"""Which objects does a selector of labels or fields mean?"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from tests.support.fake_kubernetes.status import bad_request

Chosen = Callable[[dict[str, Any]], bool]
_SET = re.compile(r"(\S+)\s+(in|notin)\s+\(([^)]*)\)")


def of(labels: str, fields: str) -> Chosen:
    """Raises Refusal for what cannot be read."""
    wanted = [_label(each) for each in _split(labels)] + [_field(each) for each in fields.split(",") if each]
    return lambda body: all(each(body) for each in wanted)


def _label(text: str) -> Chosen:
    if found := _SET.fullmatch(text):
        key, operator, listed = found.groups()
        values = {value.strip() for value in listed.split(",")}
        return lambda body: (_labels(body).get(key) in values) == (operator == "in")
    for sign in ("!=", "==", "="):
        if sign in text:
            key, value = (part.strip() for part in text.split(sign, 1))
            return lambda body: (_labels(body).get(key) == value) != (sign == "!=")
    if text.startswith("!"):
        return lambda body: text[1:] not in _labels(body)
    return lambda body: text in _labels(body)


def _field(text: str) -> Chosen:
    sign = "!=" if "!=" in text else "="
    path, equals, value = text.partition(sign)
    if not equals:
        raise bad_request(f"invalid field selector {text}")

    def holds(body: dict[str, Any]) -> bool:
        found: Any = body
        for step in path.split("."):
            found = found.get(step, "") if isinstance(found, dict) else ""
        return (str(found) == value.removeprefix("=")) != (sign == "!=")

    return holds


def _labels(body: dict[str, Any]) -> dict[str, str]:
    return dict(body["metadata"].get("labels", {}))


def _split(text: str) -> list[str]:
    """By commas outside of parentheses."""
    return [each.strip() for each in re.split(r",(?![^(]*\))", text) if each.strip()]
