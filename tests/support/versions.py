"""Registered models, for tests that need a registry with something in it."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from eagleray.store import registry
from eagleray.store.objects import Objects
from eagleray.store.registry import AliasChange, GoldenRow, VersionFile, VersionRecord
from tests.support.records import DOCUMENT, LOCK, NOW

FILES = {"README.md": b"# demo\n\nA model [of] words.\n", "model.safetensors": b"weights", "onnx/fp32.onnx": b"graph"}
GOLDEN = (GoldenRow(input={"text": "a"}, output={"label": "x", "probabilities": {"x": 0.75, "y": 0.25}}),)


def version_record(name: str = "demo", version: int = 1, **changes: Any) -> VersionRecord:
    """A record by itself."""
    record = VersionRecord(
        name=name,
        version=version,
        run=f"{name}-{version:04d}",
        step=10,
        task="text-classification",
        method="lora",
        created_at=NOW,
        document=yaml.safe_load(DOCUMENT),
        lock=LOCK,
        model_source="some/model",
        model_sha256="a" * 64,
        files=(),
    )
    return record.model_copy(update=changes)


def new_version(
    objects: Objects,
    name: str = "demo",
    *,
    files: dict[str, bytes] | None = None,
    gate: dict[str, Any] | None = None,
    **changes: Any,
) -> VersionRecord:
    """A version of small files, with a gate in its document."""
    version = registry.claim(objects, name)
    document = yaml.safe_load(DOCUMENT)
    if gate is not None:
        document["spec"]["promote"] = {"alias": "champion", "when": gate}
    registry.put_golden(objects, name, version, GOLDEN)
    written = put_files(objects, name, version, FILES if files is None else files)
    changes = {"files": written, "num_golden": len(GOLDEN), "document": document, **changes}
    record = version_record(name, version, **changes)
    registry.commit(objects, record)
    return record


def put_files(objects: Objects, name: str, version: int, files: dict[str, bytes]) -> tuple[VersionFile, ...]:
    """Store files of a claimed version."""
    written = []
    with TemporaryDirectory() as scratch:
        for path, content in files.items():
            source = Path(scratch) / "file"
            source.write_bytes(content)
            written.append(registry.put_file(objects, name, version, path, source))
    return tuple(written)


def promote(
    objects: Objects, version: int, *, name: str = "demo", alias: str = "champion", action: Any = "promote"
) -> AliasChange:
    """The alias on a version, decided on what there is."""
    history = registry.history(objects, name, alias)
    return registry.point(
        objects, name, alias, version, action=action, by="me@here", reason="", seen=len(history), now=NOW
    )
