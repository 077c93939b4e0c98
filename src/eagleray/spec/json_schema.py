"""The JSON schema of documents, for editors: what may be written where, explained as you type."""

from __future__ import annotations

from typing import Annotated, Any, Final

from pydantic import BaseModel, Field, TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from eagleray.spec.finetune import FineTune
from eagleray.spec.serving import Endpoint

Document = Annotated[FineTune | Endpoint, Field(discriminator="kind")]
ROOTS: Final = {FineTune.__name__, Endpoint.__name__}


def schema() -> dict[str, Any]:
    """Draft 2020-12, one of the kinds of documents. Titles and descriptions are the docstrings of the models."""
    generated = TypeAdapter[Any](Document).json_schema(schema_generator=_Generator)
    return {"$schema": _Generator.schema_dialect, "title": "A document of eagleray", **generated}


class _Generator(GenerateJsonSchema):
    """Pydantic's generator without what only Python or OpenAPI knows."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        # Pydantic's titles of keys are the keys again, in capitals.
        return False

    def get_title_from_name(self, name: str) -> str:
        return _public(name)

    def normalize_name(self, name: str) -> str:
        return _public(super().normalize_name(name))

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        generated = super().model_schema(schema)
        model: type[BaseModel] = schema["cls"]
        generated["title"] = _first_sentence(model.__doc__ or "")
        generated["description"] = _one_line(model.__doc__ or "")
        for name, entry in generated.get("properties", {}).items():
            entry["description"] = _one_line(model.model_fields[name].description or "")
            if entry.get("default", ...) is None:
                # "Left out" is what the description explains; nobody writes null for it.
                del entry["default"]
        return generated

    def tagged_union_schema(self, schema: core_schema.TaggedUnionSchema) -> JsonSchemaValue:
        generated = super().tagged_union_schema(schema)
        # A keyword of OpenAPI; `oneOf` with a constant `type` in each says the same.
        generated.pop("discriminator", None)
        return generated


def _public(name: str) -> str:
    # What a document describes and the document itself would have one name.
    return f"{name}Document" if name in ROOTS else name.removesuffix("Spec")


def _first_sentence(text: str) -> str:
    return _one_line(text).split(". ")[0].split(" (")[0].rstrip(".")


def _one_line(text: str) -> str:
    return " ".join(text.split())
