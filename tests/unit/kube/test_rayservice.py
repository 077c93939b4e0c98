"""The RayService of an endpoint: its application, its pods, and how its cluster is made anew."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from eagleray.spec.serving import ServingSpec
from tests.support import rendered

GATEWAY = "gateway: {host: a.example.com, name: public, class_name: envoy}, callers: [envoy]"


def _service(**sections: str) -> dict[str, Any]:
    found: dict[str, Any] = rendered.of_kind(rendered.of_text(rendered.endpoint(**sections)), "RayService")["spec"]
    return found


@pytest.mark.parametrize(
    ("replicas", "cluster", "chosen", "said"),
    [
        pytest.param("{}", "{}", "NewCluster", "takes no GPUs", id="cpus"),
        pytest.param(
            "{gpus: 1.0, max: 2}", "{}", "None", "2 GPUs beside the 2 in use, spare_gpus is 0", id="none-spare"
        ),
        pytest.param(
            "{gpus: 1.0, max: 2}", "{spare_gpus: 2}", "NewCluster", "2 GPUs beside the 2 in use", id="enough-spare"
        ),
        pytest.param("{gpus: 1.0, max: 2}", "{spare_gpus: 1}", "None", "spare_gpus is 1", id="too-few-and-no-gateway"),
        pytest.param(
            "{gpus: 1.0, max: 2}",
            f"{{spare_gpus: 1, {GATEWAY}}}",
            "NewClusterWithIncrementalUpgrade",
            "at most 1 GPUs beside the 2 in use",
            id="step-by-step",
        ),
        pytest.param(
            "{gpus: 2.0, max: 2}", f"{{spare_gpus: 1, {GATEWAY}}}", "None", "spare_gpus is 1", id="less-than-a-replica"
        ),
        pytest.param(
            "{gpus: 1.0, min: 2, max: 2}",
            f"{{spare_gpus: 1, {GATEWAY}}}",
            "None",
            "spare_gpus is 1",
            id="no-autoscaling",
        ),
    ],
)
def test_upgrade(replicas: str, cluster: str, chosen: str, said: str) -> None:
    found = rendered.of_text(rendered.endpoint(endpoint=f"{{replicas: {replicas}}}", cluster=cluster))
    service = rendered.of_kind(found, "RayService")

    assert service["spec"]["upgradeStrategy"]["type"] == chosen
    assert said in found.notes[-1]
    assert service["metadata"]["annotations"]["eagleray.io/upgrade"] in found.notes[-1]


def test_no_step_takes_more_than_is_spare() -> None:
    service = _service(endpoint="{replicas: {gpus: 1.0, max: 8}}", cluster=f"{{spare_gpus: 1, {GATEWAY}}}")
    options = service["upgradeStrategy"]["clusterUpgradeOptions"]

    assert options["maxSurgePercent"] == options["stepSizePercent"] == 12


@pytest.mark.parametrize(
    ("replicas", "group", "is_autoscaled"),
    [
        pytest.param("{}", (1, 1, 1), False, id="one"),
        pytest.param("{min: 2, max: 2}", (2, 2, 2), False, id="fixed"),
        pytest.param("{min: 0, max: 3}", (0, 0, 3), True, id="from-none"),
        pytest.param("{min: 1, max: 3}", (1, 1, 3), True, id="grows"),
    ],
)
def test_pods(replicas: str, group: tuple[int, int, int], is_autoscaled: bool) -> None:
    cluster = _service(endpoint=f"{{replicas: {replicas}}}")["rayClusterConfig"]
    (workers,) = cluster["workerGroupSpecs"]

    assert (workers["replicas"], workers["minReplicas"], workers["maxReplicas"]) == group
    assert cluster.get("enableInTreeAutoscaling", False) is is_autoscaled


@pytest.mark.parametrize(
    ("cluster", "most", "cpu", "memory"),
    [
        pytest.param("{workers: {memory: 9Gi}}", 1, "1", "9Gi", id="as-for-training"),
        pytest.param("{workers: {memory: 9Gi}, replicas: {memory: 3Gi}}", 1, "1", "3Gi", id="their-own"),
        pytest.param("{workers: {per_pod: 8}}", 2, "2", "8Gi", id="no-more-than-there-may-be"),
        pytest.param("{workers: {per_pod: 8}, replicas: {per_pod: 2}}", 4, "2", "8Gi", id="some-in-a-pod"),
    ],
)
def test_pods_of_replicas(cluster: str, most: int, cpu: str, memory: str) -> None:
    found = rendered.of_text(rendered.training(cluster=cluster, endpoint=f"{{replicas: {{max: {most}}}}}"))
    (workers,) = rendered.of_kind(found, "RayService")["spec"]["rayClusterConfig"]["workerGroupSpecs"]
    (container,) = workers["template"]["spec"]["containers"]

    assert (container["resources"]["limits"]["cpu"], container["resources"]["limits"]["memory"]) == (cpu, memory)


@pytest.mark.parametrize(("fewest", "is_left_out"), [(0, False), (1, True)])
def test_the_head_takes_requests_where_no_worker_may_be(fewest: int, is_left_out: bool) -> None:
    service = _service(endpoint=f"{{replicas: {{min: {fewest}, max: 2}}}}")

    assert service["excludeHeadPodFromServeSvc"] is is_left_out


def test_the_application_takes_what_the_document_says() -> None:
    service = _service(endpoint="{batch: {max_size: 8}, port: 9000, host: 0.0.0.0}")
    config = yaml.safe_load(service["serveConfigV2"])
    (application,) = config["applications"]
    arguments = application["args"]

    assert application["import_path"] == "eagleray.serving.app:build"
    assert config["http_options"] == {"host": "0.0.0.0", "port": 8000}
    assert arguments == {
        "storage": rendered.STORAGE,
        "cache_dir": "/cache",
        "models": [{"name": "films", "model": "films@champion"}],
        "endpoint": {"batch": {"max_size": 8}},
    }
    ServingSpec.model_validate({name: arguments[name] for name in ("storage", "models", "endpoint")}, strict=False)


def test_a_trained_model_is_served_by_its_alias() -> None:
    found = rendered.of_text(rendered.training(promote="{alias: best}", endpoint="{}"))
    config = yaml.safe_load(rendered.of_kind(found, "RayService")["spec"]["serveConfigV2"])

    assert config["applications"][0]["args"]["models"] == [{"name": "films", "model": "films@best"}]


@pytest.mark.parametrize(
    ("cluster", "kinds"),
    [
        pytest.param("{}", set(), id="none"),
        pytest.param("{ingress: {host: a.example.com}, callers: [nginx]}", {"Ingress"}, id="ingress"),
        pytest.param("{gateway: {host: a.example.com, name: public}, callers: [envoy]}", {"HTTPRoute"}, id="gateway"),
        pytest.param(f"{{spare_gpus: 1, {GATEWAY}}}", set(), id="a-route-that-kuberay-makes"),
    ],
)
def test_the_way_to_it(cluster: str, kinds: set[str]) -> None:
    found = rendered.of_text(rendered.endpoint(endpoint="{replicas: {gpus: 1.0, max: 2}}", cluster=cluster))

    assert {manifest["kind"] for manifest in found.manifests} & {"Ingress", "HTTPRoute"} == kinds
