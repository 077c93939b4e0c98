"""What the operator can do: values, which a plan returns and `perform` carries out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from eagleray.kube.target import Manifest


@dataclass(frozen=True, slots=True)
class Apply:
    """Have an object be like this: make it, or mend it."""

    manifest: Manifest


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete this object, and no other that has taken its name since."""

    manifest: Manifest  # as it is in the cluster


@dataclass(frozen=True, slots=True)
class SetStatus:
    """Tell this of the document, as it was when the plan was made."""

    owner: Manifest
    status: dict[str, Any]


@dataclass(frozen=True, slots=True)
class SetFinalizers:
    """Hold the document in the cluster, or let it go."""

    owner: Manifest
    finalizers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class EmitEvent:
    """Tell people, by `kubectl describe` and `kubectl events`."""

    owner: Manifest
    type: Literal["Normal", "Warning"]
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Requeue:
    """Look again after so long: nothing that is watched will say so."""

    after_s: float


Action = Apply | Delete | SetStatus | SetFinalizers | EmitEvent | Requeue
