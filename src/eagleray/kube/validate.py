"""Would a cluster take these manifests? Schemas, rules and the Pod Security Standard, without a cluster."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import kubernetes_validate
import yaml

from eagleray.errors import UserError
from eagleray.kube import cel, kuberay_rules, openapi, restricted
from eagleray.kube.manifests import key
from eagleray.kube.target import Manifest

BUILT_IN: Final = (
    "apiextensions.k8s.io/v1",
    "apps/v1",
    "batch/v1",
    "coordination.k8s.io/v1",
    "networking.k8s.io/v1",
    "policy/v1",
    "rbac.authorization.k8s.io/v1",
    "v1",
)
KUBERNETES: Final = "1.37"
"""The version whose schemas judge the built-in kinds."""

# libyaml's where it is built in: KubeRay's CRDs are megabytes.
_LOADER: Final[type[yaml.SafeLoader] | type[yaml.CSafeLoader]] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

Crds = Mapping[tuple[str, str], openapi.Schema]
"""Schemas of CustomResourceDefinitions by apiVersion and kind."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is wrong, by object; and of which objects nothing is known here."""

    wrong: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()


def check(manifests: Iterable[Manifest], crds: Crds) -> Verdict:
    """Judge each manifest by its schema, by what KubeRay refuses besides, and its pods by the standard."""
    wrong: list[str] = []
    unknown: list[str] = []
    for manifest in manifests:
        name = "/".join(key(manifest))
        found = _by_schema(manifest, crds)
        if found is None:
            unknown.append(f"{name}: there is no schema here for {manifest['apiVersion']} {manifest['kind']}")
        wrong += [f"{name}: {each}" for each in (*(found or ()), *_beyond(manifest))]
    return Verdict(tuple(wrong), tuple(unknown))


def read_crds(folder: Path) -> Crds:
    """The schemas of all CustomResourceDefinitions in a folder's YAML files. Raises UserError where it has none."""
    if not folder.is_dir():
        raise UserError(f"{folder} is no folder: give one with the CRDs of KubeRay as YAML files")
    texts = [file.read_text(encoding="utf-8") for file in sorted(folder.glob("*.y*ml"))]
    crds = of_crds(document for text in texts for document in yaml.load_all(text, Loader=_LOADER))
    if not crds:
        raise UserError(f"{folder} holds no CustomResourceDefinition: give the folder with those of KubeRay")
    return crds


def of_crds(definitions: Iterable[Any]) -> Crds:
    """The schemas of CustomResourceDefinitions that are served."""
    return {
        (f"{each['spec']['group']}/{version['name']}", each["spec"]["names"]["kind"]): version["schema"][
            "openAPIV3Schema"
        ]
        for each in definitions
        if isinstance(each, dict) and each.get("kind") == "CustomResourceDefinition"
        for version in each["spec"]["versions"]
        if version.get("served")
    }


def _by_schema(manifest: Manifest, crds: Crds) -> list[str] | None:
    """What breaks its schema; None where there is none."""
    schema = crds.get((manifest["apiVersion"], manifest["kind"]))
    if schema is not None:
        return openapi.violations(manifest, schema, rule=cel.holds)
    return _built_in(manifest) if manifest["apiVersion"] in BUILT_IN else None


def _beyond(manifest: Manifest) -> list[str]:
    pods = [f"{path}.{each}" for path, pod in restricted.pods(manifest) for each in restricted.violations(pod)]
    return [*kuberay_rules.violations(manifest), *pods]


def _built_in(manifest: Manifest) -> list[str]:
    try:
        kubernetes_validate.validate(manifest, KUBERNETES, strict=True)
    except kubernetes_validate.ValidationError as error:
        return [f"{'.'.join(map(str, error.path))}: {error.message}"]
    return []
