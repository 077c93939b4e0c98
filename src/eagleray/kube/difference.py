"""What would change in a cluster, as the lines of a diff?"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any, Final

from eagleray.kube import yaml_text

# What the server writes into every object by itself.
_SERVERS: Final = ("creationTimestamp", "generation", "managedFields", "resourceVersion", "selfLink", "uid")


def text(there: Mapping[str, Any] | None, wanted: Mapping[str, Any]) -> str:
    """A unified diff of an object as it is and as it would be; "" where nothing changes."""
    name = f"{wanted['kind']}/{wanted['metadata']['name']}"
    before = [] if there is None else yaml_text.dump(_plain(there)).splitlines(keepends=True)
    after = yaml_text.dump(_plain(wanted)).splitlines(keepends=True)
    return "".join(difflib.unified_diff(before, after, f"{name} in the cluster", f"{name} rendered"))


def _plain(manifest: Mapping[str, Any]) -> dict[str, Any]:
    metadata = {key: value for key, value in manifest["metadata"].items() if key not in _SERVERS}
    kept = {key: value for key, value in manifest.items() if key != "status"}
    return {**kept, "metadata": metadata}
