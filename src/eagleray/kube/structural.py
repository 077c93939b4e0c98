"""The JSON schema of documents as a structural schema, the subset that a CustomResourceDefinition may hold.

There a place has one type and all its keys in one list, so a choice among models becomes one object with the keys of
all, and rules in CEL say which belong together. Defaults are left out: a document that was stored with today's would
not get tomorrow's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

Schema = dict[str, Any]

# The API server reckons what a rule may cost from the longest there may be; without bounds it refuses the rule.
MAX_LENGTH: Final = 4096
MAX_ITEMS: Final = 256
MAX_PROPERTIES: Final = 64

_KEPT: Final = ("enum", "maximum", "minimum", "pattern", "minLength", "minItems", "type")


def convert(node: Mapping[str, Any], definitions: Mapping[str, Any]) -> Schema:
    """A place of the JSON schema, with all that is below it."""
    return _described(_place(node, definitions), node)


def _place(node: Mapping[str, Any], definitions: Mapping[str, Any]) -> Schema:
    if "$ref" in node:
        return convert(definitions[node["$ref"].rpartition("/")[2]], definitions)
    if "oneOf" in node:
        return _choice([convert(arm, definitions) for arm in node["oneOf"]])
    if "anyOf" in node:
        return _either([arm for arm in node["anyOf"] if arm.get("type") != "null"], definitions)
    if node.get("type") == "object":
        return _object(node, definitions)
    return _value(node, definitions)


def _described(schema: Schema, node: Mapping[str, Any]) -> Schema:
    return schema | ({"description": node["description"]} if "description" in node else {})


def _either(arms: list[Mapping[str, Any]], definitions: Mapping[str, Any]) -> Schema:
    if len(arms) == 1:
        return convert(arms[0], definitions)
    kinds = [arm.get("type") for arm in arms]
    if kinds == ["integer", "string"] and "const" in arms[1]:
        word, least = arms[1]["const"], arms[0]["minimum"]
        rule = {
            "rule": f"type(self) == int ? self >= {least} : self == '{word}'",
            "message": f"must be a whole number of at least {least}, or {word}",
        }
        return {"x-kubernetes-int-or-string": True, "x-kubernetes-validations": [rule]}
    # Any value of a document: it is checked when the document is read.
    return {"x-kubernetes-preserve-unknown-fields": True}


def _object(node: Mapping[str, Any], definitions: Mapping[str, Any]) -> Schema:
    others = node.get("additionalProperties")
    if isinstance(others, Mapping):
        limit = node.get("maxProperties", MAX_PROPERTIES)
        return {"type": "object", "maxProperties": limit, "additionalProperties": convert(others, definitions)}
    keys = {key: convert(value, definitions) for key, value in node.get("properties", {}).items()}
    return {"type": "object", "properties": keys} | ({"required": node["required"]} if node.get("required") else {})


def _value(node: Mapping[str, Any], definitions: Mapping[str, Any]) -> Schema:
    schema: Schema = {key: node[key] for key in _KEPT if key in node}
    if "const" in node:
        schema["enum"] = [node["const"]]
    for bound, key in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
        if key in node:
            schema |= {bound: node[key], key: True}
    if schema["type"] == "integer":
        schema["format"] = "int64"
    if schema["type"] == "string" and "enum" not in schema:
        schema["maxLength"] = node.get("maxLength", MAX_LENGTH)
    if schema["type"] == "array":
        schema |= {
            "maxItems": node.get("maxItems", MAX_ITEMS),
            "items": _without_rules(convert(node["items"], definitions)),
        }
    return schema


def _without_rules(schema: Schema) -> Schema:
    """In a list each rule would cost as often as there may be entries: those are judged when the document is read."""
    kept = {key: value for key, value in schema.items() if key != "x-kubernetes-validations"}
    if "properties" in kept:
        kept["properties"] = {key: _without_rules(value) for key, value in kept["properties"].items()}
    for key in ("items", "additionalProperties"):
        if key in kept:
            kept[key] = _without_rules(kept[key])
    return kept


def _choice(arms: list[Schema]) -> Schema:
    """One object for several models that their `type` tells apart."""
    types = [arm["properties"]["type"]["enum"][0] for arm in arms]
    keys = dict.fromkeys(key for arm in arms for key in arm["properties"] if key != "type")
    merged = {
        key: _merged(
            {kind: arm["properties"][key] for kind, arm in zip(types, arms, strict=True) if key in arm["properties"]}
        )
        for key in keys
    }
    tag = {"type": "string", "enum": types, "description": arms[0]["properties"]["type"]["description"]}
    rules = [rule for kind, arm in zip(types, arms, strict=True) for rule in _rules(kind, arm, merged)]
    schema: Schema = {"type": "object", "properties": {"type": tag, **merged}, "required": ["type"]}
    return schema | ({"x-kubernetes-validations": rules} if rules else {})


def _merged(found: dict[str, Schema]) -> Schema:
    """A key that several models have: the widest of what they allow."""
    first, *others = found.values()
    if all(_plain(other) == _plain(first) for other in others):
        return first
    merged = {key: value for key, value in first.items() if key in ("type", "format")}
    every = list(found.values())
    if all("enum" in each for each in every):
        merged["enum"] = list(dict.fromkeys(value for each in every for value in each["enum"]))
    if all("maxLength" in each for each in every):
        merged["maxLength"] = max(each["maxLength"] for each in every)
    for bound, exclusive, widest in (("minimum", "exclusiveMinimum", min), ("maximum", "exclusiveMaximum", max)):
        if all(bound in each for each in every):
            merged[bound] = widest(each[bound] for each in every)
            if all(each.get(exclusive) for each in every if each[bound] == merged[bound]):
                merged[exclusive] = True
    told = {each["description"]: kind for kind, each in found.items()}
    merged["description"] = " ".join(told) if len(told) == 1 else " ".join(f"{told[text]}: {text}" for text in told)
    return merged


def _rules(kind: str, arm: Schema, merged: Mapping[str, Schema]) -> Iterator[Schema]:
    own = arm["properties"]
    if others := [key for key in merged if key not in own]:
        asked = " || ".join(f"has(self.{key})" for key in others)
        yield _rule(kind, f"!({asked})", f"{', '.join(others)}: not with type {kind}")
    if needed := [key for key in arm.get("required", []) if key != "type"]:
        asked = " && ".join(f"has(self.{key})" for key in needed)
        yield _rule(kind, f"({asked})", f"type {kind} needs {', '.join(needed)}")
    for key in own:
        if key in merged and _allowed(own[key]) != _allowed(merged[key]) and (narrower := _narrower(key, own[key])):
            yield _rule(kind, f"!has(self.{key}) || {narrower}", f"{key}: not so with type {kind}")


def _rule(kind: str, holds: str, message: str) -> Schema:
    return {"rule": f"self.type != '{kind}' || {holds}", "message": message}


def _narrower(key: str, schema: Schema) -> str:
    """What one model asks of a key that another lets be more."""
    if "enum" in schema:
        return f"self.{key} in [{', '.join(repr(value) for value in schema['enum'])}]"
    number = float if schema["type"] == "number" else int
    asked = [
        f"self.{key} {sign}{'' if schema.get(exclusive) else '='} {number(schema[bound])}"
        for bound, exclusive, sign in (("minimum", "exclusiveMinimum", ">"), ("maximum", "exclusiveMaximum", "<"))
        if bound in schema
    ]
    return f"({' && '.join(asked)})" if asked else ""


def _allowed(schema: Schema) -> Schema:
    """What a schema allows, in whichever order it lists it."""
    return _plain(schema) | ({"enum": sorted(schema["enum"])} if "enum" in schema else {})


def _plain(schema: Schema) -> Schema:
    return {key: value for key, value in schema.items() if key != "description"}
