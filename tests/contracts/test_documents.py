"""Every document that is shipped loads, names its schema for editors, and belongs to the folder it lies in."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from eagleray.spec import document, json_schema

ROOT = Path(__file__).parents[2]
JOBS = ROOT / "jobs"
SCHEMA = JOBS / "schema.json"
DOCUMENTS = sorted(JOBS.rglob("*.yaml"))


def test_there_are_documents() -> None:
    names = {path.relative_to(JOBS).as_posix() for path in DOCUMENTS}
    assert names >= {
        "pipelines/film-sentiment.yaml",
        "finetune/text-classification-cpu.yaml",
        "finetune/text-classification-lora.yaml",
        "finetune/causal-lm-lora-cpu.yaml",
        "finetune/zero3-8gpu.yaml",
    }


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.stem)
def test_document_loads_and_survives_a_round_trip(path: Path) -> None:
    loaded = document.load(path).document

    assert document.loads(document.dump(loaded), source=path.name).document == loaded


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.stem)
def test_document_names_its_schema_first(path: Path) -> None:
    first_line = path.read_text(encoding="utf-8").splitlines()[0]

    assert first_line == f"# yaml-language-server: $schema={os.path.relpath(SCHEMA, path.parent)}"


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.stem)
def test_document_leaves_the_storage_to_the_user(path: Path) -> None:
    assert document.load(path).document.spec.storage is None


def test_document_names_are_unique() -> None:
    names = [document.load(path).document.metadata.name for path in DOCUMENTS]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.stem)
def test_files_that_a_document_names_are_shipped(path: Path) -> None:
    data = document.load(path).document.spec.data
    sources = [data.train, data.validation.file, data.test]
    files = [source for source in sources if source is not None and not re.match(r"[a-z0-9]+://", source)]

    # "data/digits/train" is written by "data/digits.py".
    written = [name for name in files if (path.parent / Path(name).parent).with_suffix(".py").is_file()]
    assert [name for name in files if not (path.parent / name).is_file() and name not in written] == []


def test_committed_schema_is_the_schema() -> None:
    """`make schema` writes it anew."""
    assert json.loads(SCHEMA.read_text(encoding="utf-8")) == json_schema.schema()
