"""What of a document is kept in the cluster: its text with the files beside it, and a claim for a shared volume?"""

from __future__ import annotations

import base64

from eagleray.kube import volumes
from eagleray.kube.target import Manifest, Target


def document(target: Target, text: str, files: volumes.Files) -> Manifest:
    """The ConfigMap that all pods of the run mount."""
    data, binary = {volumes.DOCUMENT_FILE: text}, {}
    keys = volumes.keys(files)
    for path, content in files.items():
        try:
            data[keys[path]] = content.decode("utf-8")
        except UnicodeDecodeError:
            binary[keys[path]] = base64.b64encode(content).decode("ascii")
    parts = {"data": data} | ({"binaryData": binary} if binary else {})
    return target.manifest("v1", "ConfigMap", target.document, **parts)


def claim(target: Target) -> list[Manifest]:
    """The claim, where it is to be made: of a volume that many nodes write at once."""
    asked = target.cluster.claim
    if asked is None or asked.size is None:
        return []
    described = {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": asked.size}}}
    if asked.storage_class is not None:
        described["storageClassName"] = asked.storage_class
    # Nobody's but the user's: it outlives the document, and a second part of it asks for the same one.
    return [target.manifest("v1", "PersistentVolumeClaim", asked.name, spec=described)]
