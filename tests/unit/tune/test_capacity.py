"""How many trials run at once, by what the cluster has when it is asked."""

from __future__ import annotations

import math

import pytest

from eagleray.errors import UserError
from eagleray.spec.scale import ScaleSpec
from eagleray.train.resources import Node, Resources, WorkerShape, check_fits
from eagleray.tune import capacity
from tests.support import sweep_documents
from tests.support.sweep_boards import Clock

ONE = (Node(4, 0),)
TWO = (Node(2, 0), Node(3, 0))
GPUS = (Node(16, 4), Node(64, 0))
LOST: tuple[Node, ...] = ()


@pytest.mark.parametrize(
    ("nodes", "num_workers", "shape", "most", "expected"),
    [
        pytest.param(ONE, 1, (1, 0), None, 5, id="one-more-than-fit"),
        pytest.param(ONE, 1, (0.5, 0), None, 9, id="halves-of-a-cpu"),
        pytest.param(ONE, 1, (3, 0), None, 2, id="larger-trials"),
        pytest.param(ONE, 1, (1, 0), 2, 2, id="no-more-than-the-document-says"),
        pytest.param(ONE, 1, (1, 0), 9, 5, id="the-document-would-have-more"),
        pytest.param(ONE, 2, (1, 0), None, 2, id="workers-reserve-for-themselves"),
        pytest.param(TWO, 2, (1, 0), None, 2, id="a-trial-on-two-nodes"),
        pytest.param(TWO, 3, (1, 0), None, 1, id="room-left-that-is-too-small"),
        pytest.param(TWO, 1, (2, 0), None, 3, id="room-left-on-a-node"),
        pytest.param(ONE, 2, (1, 0), 1, 1, id="one-trial-of-two-workers"),
        pytest.param(GPUS, 1, (1, 1), None, 5, id="a-gpu-each"),
        pytest.param(GPUS, 2, (1, 2), None, 1, id="two-gpus-a-worker"),
        pytest.param(LOST, 1, (1, 0), None, 1, id="nothing-left-and-one-waits-in-tune"),
        pytest.param(LOST, 2, (1, 0), 3, 0, id="nothing-left-for-several-workers"),
    ],
)
def test_as_many_as_fit(
    nodes: tuple[Node, ...], num_workers: int, shape: tuple[float, int], most: int | None, expected: int
) -> None:
    sweep = sweep_documents.spec(max_concurrent="" if most is None else str(most))
    found = capacity.limit(
        sweep, ScaleSpec(num_workers=num_workers), WorkerShape(*shape), resources=lambda: Resources(nodes)
    )

    assert found() == expected


@pytest.mark.parametrize("scheduler", ["{type: hyperband}", "{type: pbt, every_steps: 10}"], ids=["hyperband", "pbt"])
@pytest.mark.parametrize(("most", "expected"), [("", math.inf), ("2", 2)], ids=["all", "as-given"])
def test_trials_that_wait_for_each_other_are_all_there(scheduler: str, most: str, expected: float) -> None:
    sweep = sweep_documents.spec(scheduler=scheduler, search="{type: random}", max_concurrent=most)

    assert capacity.limit(sweep, ScaleSpec(), WorkerShape(1, 0), resources=lambda: Resources(ONE))() == expected


def test_nodes_come_and_go() -> None:
    clock, nodes = Clock(), list(ONE)
    found = capacity.limit(
        sweep_documents.spec(), ScaleSpec(), WorkerShape(1, 0), resources=lambda: Resources(tuple(nodes)), clock=clock
    )
    seen = [found()]
    for change in (lambda: nodes.append(Node(2, 0)), nodes.clear, lambda: nodes.append(Node(8, 0))):
        change()
        seen.append(found())
        clock.now_s += capacity.LOOK_INTERVAL_S + 0.1
        seen.append(found())

    assert seen == [5, 5, 7, 7, 1, 1, 9]


@pytest.mark.parametrize(
    ("cpus_per_worker", "expected"),
    [pytest.param(None, 1, id="one-cpu-where-nothing-is-said"), pytest.param(2.5, 2.5, id="as-given")],
)
@pytest.mark.parametrize("embedded", [False, True], ids=["cluster", "this-machine"])
def test_shape_of_a_trial(cpus_per_worker: float | None, expected: float, embedded: bool) -> None:
    scale = ScaleSpec(cpus_per_worker=cpus_per_worker, gpus_per_worker=1)

    assert capacity.trial_shape(scale, embedded=embedded) == WorkerShape(expected, 1)


@pytest.mark.parametrize(
    ("scale", "told"),
    [
        pytest.param(ScaleSpec(cpus_per_worker=4), r"need 4 CPUs .* has 5 CPUs .* 2 nodes\. At most 0", id="no-node"),
        pytest.param(ScaleSpec(num_workers=6), r"need 6 CPUs .* has 5 CPUs .* 2 nodes\. At most 5", id="too-many"),
        pytest.param(ScaleSpec(gpus_per_worker=1), r"1 GPUs, but .* 0 GPUs on 2 nodes\. At most 0", id="no-gpu"),
    ],
)
def test_a_trial_that_can_never_fit_is_refused_with_what_is_there(scale: ScaleSpec, told: str) -> None:
    shape = capacity.trial_shape(scale, embedded=False)

    with pytest.raises(UserError, match=told):
        check_fits(scale, shape, Resources(TWO), where="the cluster")
