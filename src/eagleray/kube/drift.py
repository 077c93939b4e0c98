"""Is an object in the cluster still what was asked for?

What the API server or a controller has added is no difference: defaults, a status, labels of others.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, Final

from eagleray.kube.target import GROUP, Manifest
from eagleray.spec.cluster import size_bytes

APPLIED: Final = f"{GROUP}/applied"
"""The annotation with the digest of what was asked for."""


def digest(value: Any) -> str:
    """A short name for a value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()[:16]


def marked(manifest: Manifest, **annotations: str) -> Manifest:
    """The same with the digest of itself, by which it is recognised."""
    metadata = manifest["metadata"]
    noted = {**metadata.get("annotations", {}), **annotations, APPLIED: digest(manifest)}
    return {**manifest, "metadata": {**metadata, "annotations": noted}}


def note(manifest: Manifest, key: str) -> str:
    """An annotation, "" where there is none."""
    return str(manifest["metadata"].get("annotations", {}).get(key, ""))


def is_meant(there: Manifest, wanted: Manifest) -> bool:
    """Whether it was made from the same, whatever has become of it since."""
    return note(there, APPLIED) == note(wanted, APPLIED)


def edited(there: Any, wanted: Any, path: str = "") -> str | None:
    """The first place where an object no longer has what was asked for; None where it has all of it."""
    if isinstance(wanted, dict) and isinstance(there, dict):
        return next((found for key in wanted if (found := edited(there.get(key), wanted[key], f"{path}.{key}"))), None)
    if isinstance(wanted, list) and isinstance(there, list) and len(wanted) == len(there):
        pairs = enumerate(zip(there, wanted, strict=True))
        return next((found for number, pair in pairs if (found := edited(*pair, f"{path}[{number}]"))), None)
    # Kubernetes leaves out what is empty, and writes an amount in its own way.
    if there == wanted or (there is None and wanted in ({}, [], "", None)) or _is_same_amount(there, wanted, path):
        return None
    return path.removeprefix(".")


def _is_same_amount(there: Any, wanted: Any, path: str) -> bool:
    if "resources" not in path or not isinstance(there, str) or not isinstance(wanted, str):
        return False
    try:
        return size_bytes(there) == size_bytes(wanted) > 0
    except (KeyError, ValueError):  # CPUs in thousandths; those are written in one way only
        return False
