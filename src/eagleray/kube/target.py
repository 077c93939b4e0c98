"""What are the objects of a document called, and which labels say that they belong together?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import eagleray
from eagleray.spec.cluster import ClusterSpec, WorkersSpec

Part = Literal["train", "serve", "cluster"]
"""What the pods do: carry a run, answer, or wait for jobs of anybody."""

Manifest = dict[str, Any]

GROUP: Final = "eagleray.io"
PART: Final = f"{GROUP}/part"
RAY_VERSION: Final = "2.60.0"
"""The version in the image; KubeRay wants to be told for token authentication."""


@dataclass(frozen=True, slots=True)
class Target:
    """Whose objects are made: a part of a document, in a namespace."""

    name: str  # of the document, and of its RayJob, RayService or RayCluster
    part: Part
    namespace: str
    cluster: ClusterSpec
    metrics_port: int | None = None  # at which the driver of a run tells Prometheus of it

    @property
    def owned(self) -> str:
        """The name of what stands beside them: both parts of a document have an account, say."""
        return f"{self.name}-{self.part}"

    @property
    def selector(self) -> dict[str, str]:
        """The labels that all pods of this part have, and no others."""
        return {f"{GROUP}/name": self.name, PART: self.part}

    @property
    def labels(self) -> dict[str, str]:
        """The labels of each object and pod."""
        return {
            **self.selector,
            "app.kubernetes.io/managed-by": "eagleray",
            "app.kubernetes.io/part-of": self.name,
            "app.kubernetes.io/version": eagleray.__version__.replace("+", "_"),
        }

    @property
    def image(self) -> str:
        """The image of all pods."""
        return self.cluster.image or f"eagleray/worker:{eagleray.__version__}"

    @property
    def workers(self) -> WorkersSpec:
        """The pods in which this part does its work."""
        return (self.cluster.replicas if self.part == "serve" else None) or self.cluster.workers

    @property
    def account(self) -> str:
        """The ServiceAccount of the pods."""
        return self.cluster.service_account or self.owned

    @property
    def progress(self) -> str:
        """The ConfigMap in which a run tells how far it is."""
        return f"{self.name}-progress"

    @property
    def document(self) -> str:
        """The ConfigMap with the document."""
        return f"{self.name}-document"

    def manifest(
        self, api_version: str, kind: str, name: str, *, annotations: Mapping[str, str] | None = None, **parts: Any
    ) -> Manifest:
        """An object with its name, namespace and labels."""
        metadata: dict[str, Any] = {"name": name, "namespace": self.namespace, "labels": self.labels}
        if annotations:
            metadata["annotations"] = dict(annotations)
        return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **parts}
