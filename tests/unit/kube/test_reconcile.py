"""When a document is looked at again whose cluster does not answer."""

from __future__ import annotations

from typing import Any, NoReturn, cast

from eagleray.errors import ClusterError
from eagleray.kube.cluster import Cluster
from eagleray.kube.metrics import Metrics
from eagleray.kube.reconcile import LONGEST_WAIT_S, Reconciler
from eagleray.kube.world import World
from tests.support import operated


class Away:
    """A cluster that answers nothing."""

    def __getattr__(self, name: str) -> Any:
        return self._ask

    def _ask(self, *asked: Any, **more: Any) -> NoReturn:
        raise ClusterError("the Kubernetes API server does not answer")


def test_who_has_waited_for_days_goes_on_waiting() -> None:
    world = World()
    (key,) = world.see({**operated.fine_tune(), "spec": {}})
    reconcile = Reconciler(
        cast(Cluster, Away()),
        world,
        clock=lambda: operated.NOW,
        by="operator-0",
        metrics=Metrics(),
        wake=lambda keys: None,
    )

    waits = [reconcile(key) for _ in range(1100)]

    assert waits[:4] == [1, 2, 4, 8]
    assert set(waits[9:]) == {LONGEST_WAIT_S}
