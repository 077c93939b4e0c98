"""The operator as users start it: watches, replicas, and as many documents as a large team has."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.support import operated, operated_cluster
from tests.support.fake_kubernetes import ApiServer
from tests.support.operator_process import started, wait

MANY = 1000


@pytest.fixture
def server() -> Iterator[ApiServer]:
    with ApiServer(crds=operated_cluster.definitions()) as server:
        yield server


class Now:
    """The time of this machine."""

    def __call__(self) -> datetime:
        return datetime.now(UTC)


def submit(server: ApiServer, name: str = "demo", namespace: str = "default", **sections: str) -> None:
    made = operated.fine_tune(**{"promote": "{alias: champion}", "endpoint": "{}", **sections})
    server.put({**made, "metadata": {"name": name, "namespace": namespace}})


def phase(server: ApiServer, name: str = "demo", namespace: str = "default") -> str:
    found = server.get("FineTune", name, namespace)
    return "" if found is None else str(found.get("status", {}).get("phase", ""))


def is_there(server: ApiServer, kind: str, name: str = "demo") -> bool:
    return server.get(kind, name) is not None


def test_a_life_is_followed_within_a_second(server: ApiServer, tmp_path: Path) -> None:
    kuberay = operated_cluster.KubeRay(server, Now())  # type: ignore[arg-type]
    with started(server, tmp_path, "--all-namespaces") as replica:
        submit(server)
        wait(lambda: is_there(server, "RayJob"))
        wait(lambda: phase(server) == "Pending")
        server.expire()  # every watch gets 410 and begins anew
        kuberay.step()
        for expected in ("Running", "Deploying", "Serving"):
            if expected == "Serving":
                wait(lambda: is_there(server, "RayService"))
            kuberay.step()
            assert wait(lambda expected=expected: phase(server) == expected) < 1
        # Counted once the step that wrote the status is over.
        wait(lambda: 'eagleray_operator_documents{kind="FineTune",phase="Serving"} 1' in replica.ask("/metrics"))
        assert replica.ask("/healthz") == "ok\n"
    lease = server.get("Lease", "eagleray-operator")
    assert lease is not None and lease["spec"]["holderIdentity"] == ""


@pytest.mark.slow  # a lease must run out
def test_another_replica_goes_on_where_one_was_killed(server: ApiServer, tmp_path: Path) -> None:
    with started(server, tmp_path, "--all-namespaces") as first, started(server, tmp_path, "-A") as second:
        wait(lambda: first.metric("eagleray_operator_leads") + second.metric("eagleray_operator_leads") == 1)
        leading, standing = (first, second) if first.metric("eagleray_operator_leads") else (second, first)
        submit(server)
        wait(lambda: is_there(server, "RayJob"))
        leading.process.kill()
        leading.process.wait()
        submit(server, "later")
        assert wait(lambda: is_there(server, "RayJob", "later"), timeout_s=40) > 5
        assert standing.metric("eagleray_operator_leads") == 1
        assert len(server.all("RayJob")) == 2


@pytest.mark.slow  # starts a process that three others have started before
def test_a_namespace_is_looked_after_by_who_may_nothing_else(tmp_path: Path) -> None:
    rules = operated_cluster.shipped_rules(namespaces=("default",))
    with ApiServer(crds=operated_cluster.definitions(), roles={"operator": rules}) as server:
        server.put({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "other"}})
        with started(server, tmp_path, "--namespace", "default"):
            submit(server, "far", "other")
            submit(server)
            wait(lambda: phase(server) == "Pending")
            assert phase(server, "far", "other") == ""
            assert {each.partition("cannot ")[2].partition(" in ")[0] for each in server.forbidden} == {
                'get resource "customresourcedefinitions"'  # and goes on without knowing what KubeRay lacks
            }


@pytest.mark.slow  # a minute: makes ten thousand objects
@pytest.mark.timeout(600)
def test_a_thousand_documents_are_no_burden(server: ApiServer, tmp_path: Path) -> None:
    made: dict[str, Any] = operated.fine_tune(promote="{alias: champion}")
    for number in range(MANY):
        server.put({**made, "metadata": {"name": f"run-{number:04d}", "namespace": "default"}})
    with started(server, tmp_path, "-A", "--quiet"):
        wait(lambda: server.phases("RayJob").total() == MANY, timeout_s=400, every_s=1)
        kuberay = operated_cluster.KubeRay(server, Now())  # type: ignore[arg-type]
        for _ in range(3):
            kuberay.step()
        wait(lambda: server.phases("FineTune")["Promoted"] == MANY, timeout_s=200, every_s=1)
    written = [each for each in server.writes if each.resource != "leases"]
    with started(server, tmp_path, "-A", "--quiet", "--resync-s", "5") as replica:
        wait(lambda: replica.metric("eagleray_operator_leads") == 1)
        planned_s = wait(lambda: replica.metric("eagleray_operator_plans_total") >= MANY, timeout_s=120)
        before = replica.metric("eagleray_operator_resyncs_total")
        wait(lambda: replica.metric("eagleray_operator_resyncs_total") >= before + 2, timeout_s=120)
        resync_s, resident = replica.metric("eagleray_operator_resync_seconds"), replica.resident_bytes()
        plans = replica.metric("eagleray_operator_plans_total")
        assert resident < 300e6, resident
        assert planned_s + resync_s < 30, (planned_s, resync_s)
        assert plans < 2 * MANY, "what has not changed is not planned for again"
    assert [each for each in server.writes if each.resource != "leases"] == written
    # Seen by -s or in a report.
    sys.stdout.write(
        f"{MANY} documents: all planned in {planned_s:.1f} s, listed in {resync_s:.1f} s, {resident / 1e6:.0f} MB\n"
    )
