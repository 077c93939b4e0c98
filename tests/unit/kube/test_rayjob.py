"""The RayJob of a document: how many pods, what they take, and what is left of them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support import rendered

SWEEP = (
    "{space: {train.learning_rate: {log_uniform: [1.0e-5, 1.0e-3]}}, search: {type: random}, scheduler: {type: fifo}, "
    "budget: {trials: 8}"
)


def _job(**sections: str) -> dict[str, Any]:
    found: dict[str, Any] = rendered.of_kind(rendered.of_text(rendered.training(**sections)), "RayJob")["spec"]
    return found


def _group(**sections: str) -> dict[str, Any]:
    (group,) = _job(**sections)["rayClusterSpec"]["workerGroupSpecs"]
    return dict(group)


@pytest.mark.parametrize(
    ("sections", "replicas"),
    [
        pytest.param({}, (1, 1, 1), id="one-worker"),
        pytest.param({"scale": "{num_workers: 3}"}, (3, 3, 3), id="a-pod-a-worker"),
        pytest.param({"scale": "{num_workers: 9}", "cluster": "{workers: {per_pod: 4}}"}, (3, 3, 3), id="rounded-up"),
        pytest.param({"scale": "{num_workers: 4, min_workers: 2}"}, (4, 2, 4), id="elastic"),
        pytest.param(
            {"scale": "{num_workers: 8, min_workers: 3}", "cluster": "{workers: {per_pod: 4}}"},
            (2, 1, 2),
            id="elastic-in-pods",
        ),
        pytest.param({"sweep": SWEEP + ", max_concurrent: 4}", "scale": "{num_workers: 2}"}, (8, 8, 8), id="sweep"),
        pytest.param({"sweep": SWEEP + "}"}, (1, 1, 1), id="sweep-that-takes-what-is-there"),
        pytest.param({"sweep": SWEEP + "}", "cluster": "{workers: {pods: 5}}"}, (5, 5, 5), id="said"),
    ],
)
def test_pods(sections: dict[str, str], replicas: tuple[int, int, int]) -> None:
    group = _group(**sections)

    assert (group["replicas"], group["minReplicas"], group["maxReplicas"]) == replicas


@pytest.mark.parametrize(
    ("scale", "workers", "cpu", "gpus"),
    [
        pytest.param("{}", "{}", "1", None, id="default"),
        pytest.param("{cpus_per_worker: 0.5}", "{}", "1", None, id="part-of-a-cpu"),
        pytest.param("{num_workers: 4, cpus_per_worker: 0.5}", "{per_pod: 4}", "2", None, id="parts-together"),
        pytest.param("{num_workers: 2, cpus_per_worker: 3}", "{per_pod: 8}", "6", None, id="fewer-than-fit"),
        pytest.param(
            "{num_workers: 16, cpus_per_worker: 8, gpus_per_worker: 1}", "{per_pod: 8}", "64", "8", id="node-of-gpus"
        ),
    ],
)
def test_resources(scale: str, workers: str, cpu: str, gpus: str | None) -> None:
    (container,) = _group(scale=scale, cluster=f"{{workers: {workers}}}")["template"]["spec"]["containers"]

    assert container["resources"]["limits"]["cpu"] == cpu
    assert container["resources"]["limits"].get("nvidia.com/gpu") == gpus
    assert container["resources"]["limits"] == container["resources"]["requests"]


@pytest.mark.parametrize(
    ("cluster", "expected"),
    [
        pytest.param(
            "{}",
            {
                "backoffLimit": 3,
                "shutdownAfterJobFinishes": False,
                "preRunningDeadlineSeconds": 3600,
                "deletionStrategy": {
                    "deletionRules": [
                        {"policy": "DeleteCluster", "condition": {"jobStatus": "SUCCEEDED", "ttlSeconds": 0}},
                        {"policy": "DeleteCluster", "condition": {"jobStatus": "FAILED", "ttlSeconds": 3600}},
                    ]
                },
            },
            id="rules",
        ),
        pytest.param(
            "{queue: research, job: {keep_succeeded_s: 60}}",
            {
                "backoffLimit": 3,
                "suspend": True,
                "shutdownAfterJobFinishes": True,
                "ttlSecondsAfterFinished": 60,
            },
            id="queued",
        ),
        pytest.param(
            "{job: {deadline_s: 60, start_deadline_s: 5, retries: 0, keep_succeeded_s: 1, keep_failed_s: 2}}",
            {
                "activeDeadlineSeconds": 60,
                "preRunningDeadlineSeconds": 5,
                "backoffLimit": 0,
                "shutdownAfterJobFinishes": False,
                "deletionStrategy": {
                    "deletionRules": [
                        {"policy": "DeleteCluster", "condition": {"jobStatus": "SUCCEEDED", "ttlSeconds": 1}},
                        {"policy": "DeleteCluster", "condition": {"jobStatus": "FAILED", "ttlSeconds": 2}},
                    ]
                },
            },
            id="deadlines",
        ),
    ],
)
def test_ending(cluster: str, expected: dict[str, Any]) -> None:
    fixed = {"entrypoint", "rayClusterSpec", "submissionMode", "submitterConfig", "submitterPodTemplate"}

    assert {name: value for name, value in _job(cluster=cluster).items() if name not in fixed} == expected


def test_runs_the_command_that_runs_anywhere() -> None:
    assert _job()["entrypoint"] == "eagleray up /spec/document.yaml --until promote"


@pytest.mark.parametrize(
    ("spot", "has_affinity", "num_tolerations"),
    [
        pytest.param("never", "NotIn", 0, id="never"),
        pytest.param("allowed", None, 4, id="allowed"),
        pytest.param("only", "In", 4, id="only"),
    ],
)
def test_spot_nodes(spot: str, has_affinity: str | None, num_tolerations: int) -> None:
    pod = _group(cluster=f"{{workers: {{spot: {spot}}}}}")["template"]["spec"]

    assert len(pod.get("tolerations", [])) == num_tolerations
    assert (f"'operator': '{has_affinity}'" in str(pod)) is (has_affinity is not None)


def test_redis_is_not_for_a_run_whose_driver_is_on_the_head() -> None:
    assert "gcsFaultToleranceOptions" not in _job(cluster='{redis: {address: "redis:6379"}}')["rayClusterSpec"]
