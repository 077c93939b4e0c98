"""What the manifest of a checkpoint says."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, AwareDatetime, Field

from eagleray.store import paths, safe_keys
from eagleray.store.records import Record

FORMAT = 1
"""The newest that this eagleray knows."""
SET_ASIDE = "damaged.json"
"""The file of a checkpoint that was found damaged, in the place of its manifest."""


class CheckpointId(Record):
    """A checkpoint of a run: after which step, by the attempt of which lease."""

    step: int
    lease: int

    def __str__(self) -> str:
        return PurePosixPath(paths.checkpoint("any", self.step, self.lease)).name


def _plain_path(path: str) -> str:
    # A manifest from elsewhere must not write outside the directory that it is downloaded to.
    problem = "it is the name of the manifest" if path in ("manifest.json", SET_ASIDE) else safe_keys.problem(path)
    if problem:
        raise ValueError(f"{path!r} cannot be a file of a checkpoint: {problem}")
    return path


class FileEntry(Record):
    """One file of a checkpoint."""

    path: Annotated[str, AfterValidator(_plain_path)]
    size_bytes: Annotated[int, Field(ge=0)]
    sha256: str


class Position(Record):
    """Where training goes on: the global batch that is next."""

    epoch: int
    batch: int


class Manifest(Record):
    """What makes a checkpoint exist."""

    format: Literal[1] = 1
    run: str
    step: int
    lease: int
    files: tuple[FileEntry, ...]
    metrics: dict[str, Any] = Field(default_factory=dict)
    world_size: int
    zero_stage: int
    position: Position
    parent: CheckpointId | None = None
    """The checkpoint that training came from, here or where it was resumed."""
    training: dict[str, Any] = Field(default_factory=dict)
    """What else the trainer needs to go on: its own business."""
    data_fingerprint: str = ""
    model_sha256: str = ""
    versions: dict[str, str] = Field(default_factory=dict)
    created_at: AwareDatetime

    @property
    def id(self) -> CheckpointId:
        """Step and lease."""
        return CheckpointId(step=self.step, lease=self.lease)


class SetAsideRecord(Record):
    """A checkpoint that was found damaged: kept to look at, used no more."""

    reason: str
    manifest: Manifest
