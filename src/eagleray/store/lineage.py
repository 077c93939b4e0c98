"""What is written down of a version of a registered model: what it is, and what it was made from."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, AwareDatetime, Field

from eagleray.store import safe_keys
from eagleray.store.records import Record
from eagleray.store.runs import LockRecord


def _plain_path(path: str) -> str:
    # A record from elsewhere must not write outside the directory that the version is fetched to.
    problem = safe_keys.problem(path)
    if problem:
        raise ValueError(f"{path!r} cannot be a file of a version: {problem}")
    return path


class VersionFile(Record):
    """One file of a version."""

    path: Annotated[str, AfterValidator(_plain_path)]
    size_bytes: Annotated[int, Field(ge=0)]
    sha256: str


class OnnxRecord(Record):
    """One ONNX file of a version, and how near its answers to the golden rows come to those of PyTorch."""

    path: str
    size_bytes: int
    max_difference: float
    """The largest difference of a probability."""
    agreement: float
    """Share of the golden rows with the same best label."""


class VersionRecord(Record):
    """One version: what it is, and what it was made from."""

    name: str
    version: int
    run: str
    step: int | None = None
    task: str
    method: str
    created_at: AwareDatetime
    metrics: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """By split."""
    evaluated_on: dict[str, str] = Field(default_factory=dict)
    """By split the sha256 of the rows: only metrics on the same rows can be compared."""
    document: dict[str, Any]
    lock: LockRecord
    model_source: str
    model_sha256: str
    files: tuple[VersionFile, ...]
    num_golden: int = 0
    onnx: dict[str, OnnxRecord] = Field(default_factory=dict)
    """By precision: "fp32", "int8"."""


class GoldenRow(Record):
    """A row, and the answer of the version when it was registered."""

    input: dict[str, Any]
    output: dict[str, Any]
