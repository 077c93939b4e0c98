"""What the KubeRay operator refuses though its schemas accept it."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from eagleray.kube import kuberay_rules
from tests.support import rendered

REMOVED = object()


def _changed(kind: str, path: str, value: Any) -> list[str]:
    case = {"RayJob": "plain", "RayService": "pipeline", "RayCluster": "shared-cluster"}[kind]
    (found,) = [each for each in rendered.CASES if each.name == case]
    manifest = copy.deepcopy(rendered.of_kind(found.render(), kind))
    place: Any = manifest
    *above, last = [int(step) if step.isdecimal() else step for step in path.split("/")]
    for step in above:
        place = place[step] if not isinstance(place, dict) else place.setdefault(step, {})
    if value is REMOVED:
        place.pop(last)
    else:
        place[last] = value
    return kuberay_rules.violations(manifest)


GROUP = "workerGroupSpecs/0"


@pytest.mark.parametrize(
    ("kind", "path", "value", "message"),
    [
        pytest.param("RayJob", "spec/submissionMode", "Job", "spec.submissionMode: Job is none of", id="submission"),
        pytest.param("RayJob", "spec/backoffLimit", -1, "spec.backoffLimit: is negative", id="negative-retries"),
        pytest.param(
            "RayJob", "spec/ttlSecondsAfterFinished", 1, "needs shutdownAfterJobFinishes", id="ttl-without-shutdown"
        ),
        pytest.param("RayJob", "spec/suspend", True, "spec.suspend: needs shutdown", id="suspend-without-shutdown"),
        pytest.param(
            "RayJob", "spec/shutdownAfterJobFinishes", True, "deletionRules: exclude", id="rules-with-shutdown"
        ),
        pytest.param(
            "RayJob", "spec/submissionMode", "InteractiveMode", "backoffLimit: excludes", id="retries-interactive"
        ),
        pytest.param("RayJob", "spec/clusterSelector", {"a": "b"}, "backoffLimit: excludes", id="retries-selector"),
        pytest.param("RayJob", "spec/activeDeadlineSeconds", 0, "must be above 0", id="deadline"),
        pytest.param("RayJob", "spec/submissionMode", "SidecarMode", "SidecarMode excludes", id="sidecar"),
        pytest.param("RayJob", "metadata/name", "a" * 48, "48 characters are more than the 47", id="job-name"),
        pytest.param("RayService", "metadata/name", "a" * 48, "more than the 47 of a RayService", id="service-name"),
        pytest.param("RayCluster", "metadata/name", "a" * 54, "more than the 53 of a RayCluster", id="cluster-name"),
        pytest.param("RayCluster", "metadata/name", "3a", "must begin with a letter", id="digit"),
        pytest.param("RayCluster", "metadata/name", "a.b", "must begin with a letter", id="dot"),
        pytest.param("RayService", "spec/upgradeStrategy/type", "Rolling", "Rolling is none of", id="upgrade"),
        pytest.param(
            "RayService",
            "spec/upgradeStrategy/type",
            "NewClusterWithIncrementalUpgrade",
            "clusterUpgradeOptions: an incremental upgrade needs them",
            id="incremental-without-options",
        ),
        pytest.param("RayCluster", "spec/authOptions", {}, "spec.authOptions: turn nothing on", id="empty-auth"),
        pytest.param("RayCluster", "spec/rayVersion", REMOVED, "spec.rayVersion: is needed", id="version"),
        pytest.param(
            "RayJob",
            f"spec/rayClusterSpec/{GROUP}/minReplicas",
            REMOVED,
            "spec.rayClusterSpec.workerGroupSpecs[0].minReplicas: and maxReplicas are both needed",
            id="no-minimum",
        ),
        pytest.param("RayCluster", f"spec/{GROUP}/replicas", 9, "replicas: must lie within", id="too-many-replicas"),
    ],
)
def test_refused(kind: str, path: str, value: Any, message: str) -> None:
    found = _changed(kind, path, value)

    assert any(message in each for each in found), found


def test_an_incremental_upgrade_without_autoscaling() -> None:
    (case,) = [each for each in rendered.CASES if each.name == "incremental"]
    manifest = copy.deepcopy(rendered.of_kind(case.render(), "RayService"))
    assert kuberay_rules.violations(manifest) == []
    del manifest["spec"]["rayClusterConfig"]["enableInTreeAutoscaling"]

    assert any("needs enableInTreeAutoscaling" in each for each in kuberay_rules.violations(manifest))


@pytest.mark.parametrize("case", rendered.CASES, ids=lambda case: case.name)
def test_nothing_that_is_rendered_is_refused(case: rendered.Case) -> None:
    assert [each for manifest in case.render().manifests for each in kuberay_rules.violations(manifest)] == []
