"""The CustomResourceDefinitions of FineTune and Endpoint, made from the models of documents."""

from __future__ import annotations

from typing import Any, Final

from eagleray.kube import status
from eagleray.kube.structural import Schema, convert
from eagleray.kube.target import GROUP
from eagleray.spec import json_schema

VERSION: Final = "v1alpha1"

_BUCKETS: Final = " || ".join(f"self.storage.startsWith('{scheme}')" for scheme in ("s3://", "gs://", "az://", "/"))
# (below the document, rule in CEL, message): what several keys must be together. The rest is told by the operator.
_COMMON: Final = (
    (
        (),
        "size(self.metadata.name) <= 40 && self.metadata.name.matches('^[a-z][-a-z0-9]*$')",
        'metadata.name: at most 40 lower-case letters, digits and "-", the first a letter',
    ),
    (
        ("spec",),
        f"!has(self.storage) || {_BUCKETS}",
        "storage: give a bucket (s3://bucket/prefix, gs://…, az://…) or an absolute path on cluster.claim",
    ),
    (
        ("spec", "endpoint", "replicas"),
        "(has(self.max) ? self.max : 1) >= (has(self.min) ? self.min : 1)",
        "max is less than min: raise max or lower min",
    ),
    (
        ("spec", "endpoint", "auth"),
        "self.type != 'none'",
        "`none` is for one machine alone, and pods answer on every address: use `keys`",
    ),
    (
        ("spec", "cluster"),
        "!(has(self.ingress) && has(self.gateway))",
        "ingress and gateway exclude each other: keep the one that your cluster has",
    ),
    (
        ("spec", "cluster"),
        "!(has(self.ingress) || has(self.gateway)) || (has(self.callers) && size(self.callers) > 0)",
        "callers: name the namespace in which the controller of the ingress or gateway runs",
    ),
)
_TRAINING: Final = (
    (
        ("spec", "scale"),
        "!has(self.min_workers) || self.min_workers <= (has(self.num_workers) ? self.num_workers : 1)",
        "min_workers is more than num_workers: it is the fewest to train with",
    ),
    (
        ("spec", "promote", "when"),
        "has(self.at_least) || has(self.at_most) || has(self.better_by)",
        "asks for nothing: give at_least or at_most, better_by or both",
    ),
)


def fine_tune() -> dict[str, Any]:
    """The definition of FineTune."""
    schema = _schema("FineTune", status.of_fine_tune(), rules=(*_COMMON, *_TRAINING))
    columns = [
        _column("Phase", ".status.phase"),
        _column("Progress", ".status.progress"),
        _column("Best", ".status.bestMetric"),
        _column("Endpoint", ".status.endpointURL"),
        _column("Run", ".status.run", priority=1),
        _column("Age", ".metadata.creationTimestamp", kind="date"),
    ]
    names = {"kind": "FineTune", "plural": "finetunes", "singular": "finetune", "shortNames": ["ft"]}
    return _definition(names, schema, columns, {"status": {}})


def endpoint() -> dict[str, Any]:
    """The definition of Endpoint. `kubectl scale` sets the fewest replicas; the autoscaler goes on from there."""
    schema = _schema("Endpoint", status.of_endpoint(), rules=_COMMON)
    _with_fewest_replicas(schema)
    columns = [
        _column("Phase", ".status.phase"),
        _column("Replicas", ".status.replicas", kind="integer"),
        _column("Versions", ".status.versions"),
        _column("URL", ".status.endpointURL"),
        _column("Age", ".metadata.creationTimestamp", kind="date"),
    ]
    # Not `ep`, which is Kubernetes' own Endpoints.
    names = {"kind": "Endpoint", "plural": "endpoints", "singular": "endpoint", "shortNames": ["mep"]}
    scale = {
        "specReplicasPath": ".spec.endpoint.replicas.min",
        "statusReplicasPath": ".status.replicas",
        "labelSelectorPath": ".status.selector",
    }
    return _definition(names, schema, columns, {"status": {}, "scale": scale})


def file_name(definition: dict[str, Any]) -> str:
    """The file it is written to."""
    return f"{GROUP}_{definition['spec']['names']['plural']}.yaml"


def _definition(
    names: dict[str, Any], schema: Schema, columns: list[dict[str, Any]], subresources: dict[str, Any]
) -> dict[str, Any]:
    version = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": schema},
        "additionalPrinterColumns": columns,
        "subresources": subresources,
    }
    described = {
        "group": GROUP,
        "scope": "Namespaced",
        "names": {**names, "listKind": f"{names['kind']}List", "categories": ["eagleray"]},
        "versions": [version],
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{names['plural']}.{GROUP}"},
        "spec": described,
    }


def _schema(kind: str, told: Schema, *, rules: tuple[tuple[tuple[str, ...], str, str], ...]) -> Schema:
    definitions = json_schema.schema()["$defs"]
    document = definitions[f"{kind}Document"]
    schema: Schema = {
        "type": "object",
        "description": document["description"],
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": convert(document["properties"]["spec"], definitions),
            "status": told,
        },
    }
    for path, rule, message in rules:
        place = schema
        for key in path:
            place = place["properties"][key]
        place.setdefault("x-kubernetes-validations", []).append({"rule": rule, "message": message})
    return schema


def _with_fewest_replicas(schema: Schema) -> None:
    """The only defaults: the subresource `scale` can be read only where its path leads to a value."""
    endpoint = schema["properties"]["spec"]["properties"]["endpoint"]
    replicas = endpoint["properties"]["replicas"]
    endpoint["default"], replicas["default"], replicas["properties"]["min"]["default"] = {}, {}, 1


def _column(name: str, path: str, *, kind: str = "string", priority: int = 0) -> dict[str, Any]:
    return {"name": name, "type": kind, "jsonPath": path} | ({"priority": priority} if priority else {})
