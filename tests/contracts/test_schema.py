"""The JSON schema says to an editor what the models say, without a trace of Python."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from eagleray.spec import document, json_schema, yaml_text

jsonschema = pytest.importorskip("jsonschema")

DOCUMENTS = sorted((Path(__file__).parents[2] / "jobs").rglob("*.yaml"))
SCHEMA = json_schema.schema()


def _objects(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        yield node
        node = list(node.values())
    for child in node if isinstance(node, list) else []:
        yield from _objects(child)


def test_is_a_schema_of_its_draft() -> None:
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize(
    "trace",
    [r"Spec\b", r"\bNone\b", r"\bTrue\b", r"\bFalse\b", "pydantic", "eagleray\\.spec", r"\bdict\b", r"\btuple\b"],
)
def test_no_trace_of_python(trace: str) -> None:
    assert re.findall(trace, json.dumps(SCHEMA)) == []


def test_every_mapping_has_a_title_and_every_key_a_description() -> None:
    mappings = [node for node in _objects(SCHEMA) if "properties" in node and node.get("type") == "object"]
    keys = {
        f"{mapping['title']}: {name}": entry.get("description", "")
        for mapping in mappings
        for name, entry in mapping["properties"].items()
    }

    assert len(mappings) > 20
    assert [mapping for mapping in mappings if not mapping["title"] or mapping["title"].endswith(".")] == []
    assert [key for key, description in keys.items() if not description] == []


def test_every_mapping_with_fixed_keys_is_closed() -> None:
    mappings = [node for node in _objects(SCHEMA) if "properties" in node and node.get("type") == "object"]

    assert [mapping["title"] for mapping in mappings if mapping["additionalProperties"] is not False] == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.stem)
def test_shipped_documents_validate_as_written_and_as_dumped(path: Path) -> None:
    loaded = document.load(path)

    for text in (loaded.text, document.dump(loaded.document)):
        jsonschema.validate(yaml_text.parse(text, source=path.name).value, SCHEMA)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"train": {"epochs": 0}}, id="out-of-range"),
        pytest.param({"trian": {}}, id="unknown-key"),
        pytest.param({"method": {"type": "qlora"}}, id="unknown-type"),
        pytest.param({"task": {"type": "causal-lm", "labels": ["a"]}}, id="key-of-another-type"),
    ],
)
def test_wrong_documents_do_not_validate(change: dict[str, Any]) -> None:
    value = yaml_text.parse(DOCUMENTS[0].read_text(encoding="utf-8"), source="a").value
    value["spec"] = {**value["spec"], **change}

    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(value, SCHEMA)
