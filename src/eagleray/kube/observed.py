"""What does the operator see of a document: the object itself, what belongs to it, and what stands in its way?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from eagleray.kube.target import Manifest

Ref = tuple[str, str]  # kind and name, within a namespace


@dataclass(frozen=True, slots=True)
class Refusal:
    """What the API server said the last time something was asked for this document."""

    status: int
    message: str


@dataclass(frozen=True, slots=True)
class Observed:
    """The cluster as far as it concerns a document. Objects of a name that are somebody else's are in it, too."""

    owner: Manifest
    children: Mapping[Ref, Manifest] = field(default_factory=dict)
    pods: tuple[Manifest, ...] = ()
    lacks: tuple[str, ...] = ()
    """What KubeRay in this cluster cannot do and the document needs, in words; () where it can all, or is not known."""
    rival: str | None = None
    """An older document that registers under the same name on the same storage."""
    refusal: Refusal | None = None

    @property
    def name(self) -> str:
        """The document's name."""
        return str(self.owner["metadata"]["name"])

    @property
    def uid(self) -> str:
        """What tells the document from one of the same name before or after it."""
        return str(self.owner["metadata"]["uid"])

    @property
    def generation(self) -> int:
        """How often its spec has been changed."""
        return int(self.owner["metadata"].get("generation", 1))

    @property
    def status(self) -> dict[str, Any]:
        """What was told of it last."""
        return dict(self.owner.get("status", {}))

    @property
    def is_leaving(self) -> bool:
        """Whether it was deleted and is held by a finalizer."""
        return "deletionTimestamp" in self.owner["metadata"]

    def child(self, kind: str, name: str) -> Manifest | None:
        """An object that belongs to the document."""
        found = self.children.get((kind, name))
        return found if found is not None and self.owns(found) else None

    def stranger(self, manifest: Manifest) -> Manifest | None:
        """What has the name of an object that is to be made, and belongs to somebody else."""
        found = self.children.get((manifest["kind"], manifest["metadata"]["name"]))
        return found if found is not None and not self.owns(found) else None

    def owns(self, child: Manifest) -> bool:
        """Whether an object was made for this very document."""
        return any(each["uid"] == self.uid for each in child["metadata"].get("ownerReferences", ()))


def is_leaving(manifest: Manifest | None) -> bool:
    """Whether an object was deleted and is not gone yet."""
    return manifest is not None and "deletionTimestamp" in manifest["metadata"]
