"""What is one entry of the tokenised cache? A directory that appears whole: its files, its manifest, then its name.

<cache>/data/<key>/entry.json             the manifest
                   train.rows.arrow       canonical rows of a source
                   train.tokens.arrow     samples of a split, with train.lengths.npy and train.numbers.npy
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from eagleray.data.checks import DataReport
from eagleray.data.tokenized import TokenizedSplit
from eagleray.store import cache

FORMAT = 1
"""Raised whenever rows, samples or checks would come out otherwise: older entries are then not found."""

MANIFEST = "entry.json"


class Manifest(BaseModel):
    """What an entry holds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    fingerprint: str
    labels: tuple[str, ...]
    languages: tuple[str, ...] = ()
    splits: dict[str, str]  # split -> the source its rows came from
    report: DataReport
    sizes_bytes: dict[str, int]  # of every other file: a file cut short by a crash of the machine is noticed


def find(directory: Path) -> Manifest | None:
    """Return the manifest of a whole entry, and mark it as used now; None where there is none, or a damaged one."""
    try:
        manifest = Manifest.model_validate_json((directory / MANIFEST).read_bytes())
    except (FileNotFoundError, ValidationError):
        return None
    if manifest.sizes_bytes != _sizes(directory):
        return None
    cache.touch(directory)
    return manifest


def open_splits(directory: Path, manifest: Manifest) -> dict[str, TokenizedSplit]:
    """Open the splits of an entry."""
    return {name: TokenizedSplit(directory, name=name, source=source) for name, source in manifest.splits.items()}


def begin(directory: Path) -> Path:
    """Return an empty directory to build an entry in. The caller holds the entry's lock: what lies there is a wreck."""
    part = _part(directory)
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    return part


def publish(
    directory: Path,
    *,
    fingerprint: str,
    labels: tuple[str, ...],
    languages: tuple[str, ...],
    splits: Mapping[str, str],
    report: DataReport,
) -> Manifest:
    """Make what was built the entry `directory`. A kill before the rename leaves no entry, one after it a whole one."""
    part = _part(directory)
    manifest = Manifest(
        fingerprint=fingerprint,
        labels=labels,
        languages=languages,
        splits=dict(splits),
        report=report,
        sizes_bytes=_sizes(part),
    )
    (part / MANIFEST).write_text(manifest.model_dump_json(indent=1), encoding="utf-8")
    shutil.rmtree(directory, ignore_errors=True)  # a damaged entry of this name
    part.rename(directory)
    return manifest


def abandon(directory: Path) -> None:
    """Remove what was built so far."""
    shutil.rmtree(_part(directory), ignore_errors=True)


def _part(directory: Path) -> Path:
    return directory.with_name(f"{directory.name}.part")


def _sizes(directory: Path) -> dict[str, int]:
    return {path.name: path.stat().st_size for path in sorted(directory.iterdir()) if path.name != MANIFEST}
