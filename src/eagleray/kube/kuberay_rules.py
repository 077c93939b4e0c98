"""What does the KubeRay operator refuse that its schemas accept? Read in KubeRay 1.7's own validation."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from eagleray.kube.target import Manifest

MAX_NAME: Final = {"RayCluster": 53, "RayJob": 47, "RayService": 47}
_LABEL: Final = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_SUBMISSION: Final = ("K8sJobMode", "HTTPMode", "InteractiveMode", "SidecarMode")
_UPGRADES: Final = ("NewCluster", "NewClusterWithIncrementalUpgrade", "None")
_INCREMENTAL: Final = "NewClusterWithIncrementalUpgrade"
_CLUSTER_KEY: Final = {"RayCluster": "", "RayJob": "rayClusterSpec", "RayService": "rayClusterConfig"}


def violations(manifest: Manifest) -> list[str]:
    """What it would refuse of a RayCluster, RayJob or RayService; [] for all else."""
    kind = manifest["kind"]
    if kind not in MAX_NAME:
        return []
    spec, key = manifest["spec"], _CLUSTER_KEY[kind]
    found = [*_name(kind, manifest["metadata"]["name"])]
    if kind == "RayJob":
        found += _job(spec)
    if kind == "RayService":
        found += _service(spec)
    cluster = spec.get(key) if key else spec
    place = f"spec.{key}" if key else "spec"
    return [*found, *(f"{place}.{each}" for each in _cluster(cluster or {}))]


def _name(kind: str, name: str) -> Iterator[str]:
    if len(name) > MAX_NAME[kind]:
        yield f"metadata.name: {len(name)} characters are more than the {MAX_NAME[kind]} of a {kind}"
    if not _LABEL.fullmatch(name):
        yield 'metadata.name: must begin with a letter and hold lower-case letters, digits and "-"'


def _job(spec: dict[str, Any]) -> Iterator[str]:
    mode, selector = spec.get("submissionMode", "K8sJobMode"), spec.get("clusterSelector")
    if mode not in _SUBMISSION:
        yield f"spec.submissionMode: {mode} is none of {', '.join(_SUBMISSION)}"
    retries = spec.get("backoffLimit", 0)
    if retries < 0:
        yield "spec.backoffLimit: is negative"
    if retries > 0 and (mode == "InteractiveMode" or selector):
        yield "spec.backoffLimit: excludes InteractiveMode and clusterSelector"
    if spec.get("activeDeadlineSeconds", 1) <= 0:
        yield "spec.activeDeadlineSeconds: must be above 0"
    if mode == "SidecarMode" and ("submitterPodTemplate" in spec or "submitterConfig" in spec):
        yield "spec.submissionMode: SidecarMode excludes submitterPodTemplate and submitterConfig"
    yield from _ending(spec)


def _ending(spec: dict[str, Any]) -> Iterator[str]:
    shuts_down = spec.get("shutdownAfterJobFinishes", False)
    rules = spec.get("deletionStrategy", {}).get("deletionRules", [])
    if spec.get("ttlSecondsAfterFinished", 0) > 0 and not shuts_down:
        yield "spec.ttlSecondsAfterFinished: needs shutdownAfterJobFinishes"
    if spec.get("suspend") and not shuts_down:
        yield "spec.suspend: needs shutdownAfterJobFinishes"
    if rules and shuts_down:
        yield "spec.deletionStrategy.deletionRules: exclude shutdownAfterJobFinishes"


def _service(spec: dict[str, Any]) -> Iterator[str]:
    upgrade = spec.get("upgradeStrategy", {})
    chosen = upgrade.get("type", "NewCluster")
    if chosen not in _UPGRADES:
        yield f"spec.upgradeStrategy.type: {chosen} is none of {', '.join(_UPGRADES)}"
    if chosen != _INCREMENTAL:
        return
    if not spec.get("rayClusterConfig", {}).get("enableInTreeAutoscaling"):
        yield "spec.upgradeStrategy.type: an incremental upgrade needs enableInTreeAutoscaling"
    options = upgrade.get("clusterUpgradeOptions")
    if options is None:
        yield "spec.upgradeStrategy.clusterUpgradeOptions: an incremental upgrade needs them"


def _cluster(spec: dict[str, Any]) -> Iterator[str]:
    auth = spec.get("authOptions", {})
    if "authOptions" in spec and auth.get("mode") is None:
        yield "authOptions: turn nothing on without a mode: write `mode: token`"
    if auth.get("mode") == "token" and not spec.get("rayVersion"):
        yield "rayVersion: is needed with token authentication"
    for number, group in enumerate(spec.get("workerGroupSpecs", [])):
        yield from (f"workerGroupSpecs[{number}].{each}" for each in _group(group, spec))


def _group(group: dict[str, Any], spec: dict[str, Any]) -> Iterator[str]:
    if "minReplicas" not in group or "maxReplicas" not in group:
        yield "minReplicas: and maxReplicas are both needed"
        return
    is_within = group["minReplicas"] <= group.get("replicas", 0) <= group["maxReplicas"]
    if not spec.get("enableInTreeAutoscaling") and not is_within:
        yield "replicas: must lie within minReplicas and maxReplicas, for nothing scales them"
