"""Which of several replicas works."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from kubernetes import client as kubernetes

from eagleray.kube.client import Api
from eagleray.kube.cluster import Cluster
from eagleray.kube.leader import GIVE_UP_S, LASTS_S, NAME, Leader
from tests.support.fake_kubernetes import ApiServer, Fault


class Replicas:
    """Two of them, whose clocks pass when they are told to."""

    def __init__(self, server: ApiServer) -> None:
        settings = kubernetes.Configuration(host=server.url)
        self.server, self.seconds = server, 0.0
        cluster = Cluster(Api(settings))
        self.one, self.two = (
            Leader(
                cluster,
                namespace="default",
                identity=name,
                now=lambda: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.seconds),
                clock=lambda: self.seconds,
            )
            for name in ("one", "two")
        )

    def holder(self) -> str:
        lease = self.server.get("Lease", NAME)
        assert lease is not None
        return str(lease["spec"]["holderIdentity"])


@pytest.fixture
def replicas() -> Iterator[Replicas]:
    with ApiServer() as server:
        yield Replicas(server)


def test_the_first_takes_it_and_the_second_waits(replicas: Replicas) -> None:
    assert (replicas.one.renew(), replicas.two.renew(), replicas.holder()) == (True, False, "one")


def test_renewed_it_stays(replicas: Replicas) -> None:
    for _ in range(20):
        assert (replicas.one.renew(), replicas.two.renew()) == (True, False)
        replicas.seconds += 3


def test_who_does_not_renew_it_stops_before_another_begins(replicas: Replicas) -> None:
    replicas.one.renew()
    replicas.two.renew()
    replicas.seconds = GIVE_UP_S
    assert (replicas.one.leads, replicas.two.renew()) == (False, False)
    replicas.seconds = LASTS_S
    assert (replicas.two.renew(), replicas.holder()) == (True, "two")
    assert not replicas.one.renew()


def test_released_it_is_taken_at_once(replicas: Replicas) -> None:
    replicas.one.renew()
    replicas.two.renew()
    replicas.one.release()
    assert not replicas.one.leads
    assert replicas.two.renew()


def test_released_by_who_does_not_hold_it_nothing_happens(replicas: Replicas) -> None:
    replicas.one.renew()
    replicas.two.release()
    assert replicas.holder() == "one"


@pytest.mark.parametrize("fault", [Fault(409, verbs=("update",)), Fault(500, verbs=("get",)), Fault()], ids=str)
def test_one_failure_to_renew_it_is_outlived(replicas: Replicas, fault: Fault) -> None:
    replicas.one.renew()
    replicas.server.inject(fault)
    replicas.seconds = 3
    assert replicas.one.renew()
    replicas.seconds = GIVE_UP_S
    assert not replicas.one.leads, "it counts from the last time that it was written"


def test_two_that_want_it_at_once_do_not_both_get_it(replicas: Replicas) -> None:
    replicas.one.renew()
    replicas.one.release()
    replicas.server.inject(Fault(409, verbs=("update",)))  # somebody was faster
    assert not replicas.two.renew()
