"""What is an object in the cluster, and how is a write of it meant?"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from tests.support.fake_kubernetes import owners
from tests.support.fake_kubernetes.owners import Manager, Owned
from tests.support.fake_kubernetes.resources import Resource

Body = dict[str, Any]
Key = tuple[str, str]  # namespace and name


@dataclass(frozen=True)
class Stored:
    """An object, as it is or was. Nothing of its body is ever changed in place."""

    resource: Resource
    body: Body
    owned: Owned

    @property
    def key(self) -> Key:
        metadata = self.body["metadata"]
        return metadata.get("namespace", ""), metadata["name"]

    @property
    def uid(self) -> str:
        return str(self.body["metadata"]["uid"])

    @cached_property
    def told(self) -> bytes:
        """As a client gets it."""
        metadata = self.body["metadata"]
        managed = owners.as_json(self.owned, api_version=self.resource.api_version, at=metadata["creationTimestamp"])
        return json.dumps({**self.body, "metadata": {**metadata, "managedFields": managed}}).encode()


@dataclass(frozen=True, slots=True)
class Ask:
    """How a write is meant."""

    by: Manager
    is_dry: bool = False
    is_strict: bool = False
    force: bool = False


@dataclass(frozen=True, slots=True)
class Write:
    """A write that was carried out."""

    verb: str
    resource: str
    namespace: str
    name: str
    sub: str = ""
