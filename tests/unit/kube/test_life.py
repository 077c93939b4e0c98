"""A document's whole life in a cluster, and what can go wrong with the cluster in the meantime."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support import operated, operated_cluster
from tests.support.fake_kubernetes import Allowed, Fault
from tests.support.operated_cluster import Operated

MADE = (
    "ConfigMap",
    "RayJob",
    "RayService",
    "Endpoint",
    "ServiceAccount",
    "Role",
    "RoleBinding",
    "NetworkPolicy",
    "Job",
)


@pytest.fixture
def cluster() -> Iterator[Operated]:
    with operated_cluster.running() as cluster:
        yield cluster


@pytest.fixture(scope="module")
def undisturbed() -> tuple[Any, int]:
    """What a life comes to whose operator nobody kills, and how many writes it takes."""
    with operated_cluster.running() as cluster:
        begin(cluster)
        cluster.live(cluster.is_serving)
        return (end_state(cluster), numbers(cluster)), len(cluster.server.writes)


def begin(cluster: Operated) -> None:
    """A life in which most can happen: its first job fails, its second is promoted and served."""
    cluster.kuberay.fails = 1
    submit(cluster, cluster="{lifecycle: {retries: 1, backoff_s: 1, on_delete: delete}}")


def submit(cluster: Operated, /, *, name: str = "demo", namespace: str = "default", **sections: str) -> None:
    made = operated.fine_tune(**{"promote": "{alias: champion}", "endpoint": "{}", **sections})
    cluster.server.put({**made, "metadata": {"name": name, "namespace": namespace}})


def edit(cluster: Operated, /, **sections: Any) -> None:
    cluster.server.change("FineTune", "demo", {"spec": sections})


def lifecycle(cluster: Operated, **keys: Any) -> None:
    edit(cluster, cluster={"lifecycle": keys})


def end_state(cluster: Operated) -> list[Any]:
    found = [each for kind in (*MADE, "FineTune") for each in cluster.server.all(kind)]
    return operated_cluster.without_what_differs(found)


def test_from_a_document_to_an_endpoint(cluster: Operated) -> None:
    submit(cluster)
    cluster.live(cluster.is_serving)
    assert cluster.told()["endpointURL"] == "http://demo-serve-svc.default.svc:8000"
    assert cluster.told()["version"] == 1
    assert cluster.events() == ["Pending", "Running", "Deploying", "Starting", "Serving", "Serving"]


def test_at_rest_nothing_is_written(cluster: Operated) -> None:
    submit(cluster)
    cluster.live(cluster.is_serving)
    before = len(cluster.server.writes)
    for _ in range(3):
        cluster.clock.pass_by(3600)
        cluster.resync()
    cluster.start()
    cluster.work()
    assert cluster.server.writes[before:] == []


def test_deleted_everything_goes(cluster: Operated) -> None:
    submit(cluster)
    cluster.live(cluster.is_serving)
    cluster.server.remove("FineTune", "demo")
    cluster.work()
    assert [each["metadata"]["name"] for kind in MADE for each in cluster.server.all(kind)] == []


def test_deleted_its_runs_go_where_the_document_says_so(cluster: Operated) -> None:
    submit(cluster, cluster="{lifecycle: {on_delete: delete}}")
    cluster.live(cluster.is_serving)
    cluster.server.remove("FineTune", "demo")
    cluster.live(lambda: cluster.server.get("FineTune", "demo") is None)
    assert ("patch", "jobs", "demo-cleaning") in [
        (each.verb, each.resource, each.name) for each in cluster.server.writes
    ]


def test_held_and_going_on(cluster: Operated) -> None:
    submit(cluster)
    cluster.live(lambda: cluster.told().get("phase") == "Running")
    lifecycle(cluster, suspend=True)
    cluster.work()
    assert (cluster.told()["phase"], cluster.server.all("RayJob")) == ("Suspended", [])
    lifecycle(cluster, suspend=False)
    cluster.live(cluster.is_serving)


def test_cancelled(cluster: Operated) -> None:
    submit(cluster)
    cluster.live(lambda: cluster.told().get("phase") == "Running")
    lifecycle(cluster, cancel=True)
    cluster.work()
    assert (cluster.told()["phase"], cluster.server.all("RayJob")) == ("Cancelled", [])


def test_a_change_in_mid_run_waits_for_the_end(cluster: Operated) -> None:
    submit(cluster)
    cluster.live(lambda: cluster.told().get("phase") == "Running")
    first = cluster.told()["document"]
    edit(cluster, train={"epochs": 9})
    cluster.work()
    assert cluster.condition("UpToDate")[:2] == ("False", "ChangeRefused")
    cluster.kuberay.step()
    cluster.live(cluster.is_serving)
    assert cluster.told()["document"] != first
    assert cluster.condition("UpToDate")[0] == "True"


def test_a_change_in_mid_run_forks(cluster: Operated) -> None:
    submit(cluster, cluster="{lifecycle: {on_change: fork}}")
    cluster.live(lambda: cluster.told().get("phase") == "Running")
    before = cluster.server.get("RayJob", "demo")
    edit(cluster, train={"epochs": 9})
    cluster.work()
    after = cluster.server.get("RayJob", "demo")
    assert before is not None and after is not None
    assert after["metadata"]["uid"] != before["metadata"]["uid"]
    assert after["spec"]["entrypoint"].endswith("--fork")


def test_tried_again_until_it_is_enough(cluster: Operated) -> None:
    cluster.kuberay.outcome = "failed"
    submit(cluster, cluster="{lifecycle: {retries: 1, backoff_s: 5}}")
    cluster.live(lambda: cluster.told().get("phase") == "Failed", steps=30)
    assert cluster.told()["attempt"] == 2
    assert cluster.told()["message"] == "the run failed: it was not to be"
    assert cluster.events().count("Retrying") == 1


def test_a_job_that_somebody_deletes_is_made_again(cluster: Operated) -> None:
    submit(cluster)
    cluster.live(lambda: cluster.told().get("phase") == "Running")
    cluster.server.remove("RayJob", "demo")
    cluster.live(cluster.is_serving)
    assert "JobRestored" in cluster.events()


def test_an_edited_object_is_put_back(cluster: Operated) -> None:
    submit(cluster)
    cluster.live(lambda: cluster.told().get("phase") == "Running")
    cluster.server.change("NetworkPolicy", "demo-train", {"spec": {"ingress": [{}]}})
    cluster.resync()
    policy = cluster.server.get("NetworkPolicy", "demo-train")
    assert policy is not None and len(policy["spec"]["ingress"]) == 2
    assert "Restored" in cluster.events()


def test_what_somebody_else_made_is_left_alone(cluster: Operated) -> None:
    theirs = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "demo-document"}, "data": {"mine": "1"}}
    cluster.server.put(theirs)
    submit(cluster)
    cluster.work()
    assert cluster.condition("Applied")[1] == "NameInUse"
    assert cluster.server.all("RayJob") == []
    cluster.server.remove("ConfigMap", "demo-document")
    cluster.clock.pass_by(30)
    cluster.live(cluster.is_serving)


def test_the_second_of_a_name_waits_for_the_first(cluster: Operated) -> None:
    cluster.server.put({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "other"}})
    submit(cluster)
    cluster.clock.pass_by(5)
    submit(cluster, namespace="other")
    cluster.work()
    second = cluster.server.get("FineTune", "demo", "other")
    assert second is not None
    assert second["status"]["phase"] == "Blocked"
    assert "default/demo registers its models as demo" in second["status"]["message"]
    cluster.server.remove("FineTune", "demo")
    cluster.clock.pass_by(30)
    cluster.work()
    second = cluster.server.get("FineTune", "demo", "other")
    assert second is not None and second["status"]["phase"] == "Pending"


def test_an_invalid_document_is_mended() -> None:
    with operated_cluster.running() as cluster:
        submit(cluster)
        edit(cluster, train={"global_batch_size": 1}, scale={"num_workers": 4})
        cluster.work()
        truth, reason, message = cluster.condition("Valid")
        assert (truth, reason) == ("False", "InvalidDocument")
        assert "4 workers are more than train.global_batch_size 1" in message
        edit(cluster, scale=None)
        cluster.live(cluster.is_serving)
        assert "Mended" in cluster.events()


def test_kuberay_comes_later() -> None:
    with operated_cluster.running(crds=operated_cluster.without_kuberay()) as cluster:
        submit(cluster)
        cluster.work()
        assert cluster.condition("Applied")[1:] == (
            "KubeRayLacks",
            "this cluster has no RayJob of ray.io/v1: install KubeRay 1.6 or newer",
        )
        for crd in operated_cluster.definitions():
            cluster.server.put(crd)
        cluster.resync()
        cluster.live(cluster.is_serving)


def test_kuberay_is_too_old() -> None:
    old = operated_cluster.real_definitions()
    (jobs,) = [each for each in old if each["metadata"]["name"] == "rayjobs.ray.io"]
    for version in jobs["spec"]["versions"]:
        spec = version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
        spec.pop("preRunningDeadlineSeconds", None)
    with operated_cluster.running(crds=old) as cluster:
        submit(cluster)
        cluster.work()
        assert cluster.condition("Applied")[1:] == (
            "KubeRayLacks",
            "RayJob spec.preRunningDeadlineSeconds: this cluster's KubeRay does not know it; update it to 1.6 or newer",
        )


def test_it_lives_with_kuberays_own_definitions() -> None:
    with operated_cluster.running(crds=operated_cluster.real_definitions()) as cluster:
        submit(cluster)
        cluster.live(cluster.is_serving)


def test_what_the_operator_may_not_do_is_named() -> None:
    everything = Allowed(("get", "list", "watch", "create", "patch", "delete"), ("*",), ("*",))
    no_roles = Allowed(("get", "list"), ("*",), ("*",))
    rest = Allowed(
        ("create", "patch", "delete"),
        ("", "ray.io", "eagleray.io", "events.k8s.io", "networking.k8s.io", "policy"),
        ("*",),
    )
    roles = {"operator": [no_roles, rest]}
    with operated_cluster.running(roles=roles) as cluster:
        submit(cluster)
        cluster.work()
        truth, reason, message = cluster.condition("Applied")
        assert (truth, reason) == ("False", "Forbidden")
        assert 'cannot patch resource "roles" in API group "rbac.authorization.k8s.io"' in message
        assert 'in the namespace "default"' in message
        writes = len(cluster.server.writes)
        cluster.work()
        assert cluster.told()["phase"] == "Pending"
        assert len(cluster.server.writes) == writes, "nothing is told twice"
        roles["operator"] = [everything]
        cluster.live(cluster.is_serving)


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(lambda: Fault(409, verbs=("patch",), times=3), id="409"),
        pytest.param(lambda: Fault(410, verbs=("list",)), id="410"),
        pytest.param(lambda: Fault(429, verbs=("patch", "create"), times=3, retry_after_s=1), id="429"),
        pytest.param(lambda: Fault(500, verbs=("patch", "create", "delete"), times=3), id="500"),
        pytest.param(lambda: Fault(verbs=("patch", "create"), times=3), id="dropped"),
        pytest.param(lambda: Fault(verbs=("patch", "create"), times=3, after=True), id="answer-lost"),
    ],
)
def test_faults_of_the_server_are_outlived(cluster: Operated, fault: Any, undisturbed: Any) -> None:
    begin(cluster)
    cluster.server.inject(fault())
    cluster.live(cluster.is_serving)
    assert (end_state(cluster), numbers(cluster)) == undisturbed[0]


def numbers(cluster: Operated) -> dict[str, int]:
    return {kind: len(cluster.server.all(kind)) for kind in (*MADE, "FineTune")}


def killed_after(write: int) -> tuple[bool, list[Any], dict[str, int]]:
    """A life whose operator is killed after so many writes; whether that was before its end, and what came of it."""
    with operated_cluster.running() as cluster:
        begin(cluster)
        cluster.server.die_after(write)
        cluster.live(lambda: cluster.server.is_dead or cluster.is_serving())
        was_killed = cluster.server.is_dead
        cluster.server.revive()
        cluster.start()
        cluster.live(cluster.is_serving)
        return was_killed, end_state(cluster), numbers(cluster)


@pytest.mark.parametrize("kind", ["few", pytest.param("every", marks=pytest.mark.slow)])  # as many lives as writes
def test_killed_after_any_write_it_comes_to_the_same_end(kind: str, undisturbed: Any) -> None:
    expected, num_writes = undisturbed
    for write in range(1, num_writes, 1 if kind == "every" else 6):
        was_killed, *found = killed_after(write)
        assert was_killed
        assert tuple(found) == expected, f"killed after write {write} of {num_writes}"


def test_what_is_shipped_allows_a_whole_life_and_no_secrets() -> None:
    rules = operated_cluster.shipped_rules()
    assert not any({"secrets", "*"} & {*rule.resources, *rule.verbs, *rule.groups} for rule in rules)
    with operated_cluster.running(roles={"operator": rules}) as cluster:
        submit(cluster, cluster="{lifecycle: {on_delete: delete, retries: 1, backoff_s: 1}}")
        cluster.live(cluster.is_serving)
        cluster.server.change("NetworkPolicy", "demo-train", {"spec": {"ingress": [{}]}})
        cluster.resync()
        edit(cluster, train={"epochs": 9})
        cluster.live(lambda: cluster.told()["phase"] == "Running")
        cluster.live(cluster.is_serving)
        edit(cluster, endpoint=None)
        cluster.work()
        assert cluster.server.all("Endpoint") == []
        cluster.server.remove("FineTune", "demo")
        cluster.live(lambda: cluster.server.get("FineTune", "demo") is None)
        assert cluster.server.forbidden == []
