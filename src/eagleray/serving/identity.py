"""Is a running endpoint the one that a document describes?"""

from __future__ import annotations

import hashlib

import eagleray
from eagleray.spec.serving import ServingSpec

HEADER = "Eagleray-Endpoint"
"""What /readyz says beside that it is ready."""


def identity(spec: ServingSpec, *, storage: str) -> str:
    """A short hash of all that an endpoint is started with.

    Which versions its aliases mean has no part in it, nor has what a cluster is told that holds it.
    """
    settings = spec.model_dump_json(exclude={"cluster"})
    return hashlib.sha256("\0".join((eagleray.__version__, storage, settings)).encode()).hexdigest()[:16]
