"""Which runs a cluster can hold."""

from __future__ import annotations

import pytest

from eagleray.errors import UserError
from eagleray.spec.scale import ScaleSpec
from eagleray.train.resources import Node, Resources, WorkerShape, check_fits

ONE = (Node(4, 0),)
TWO = (Node(2, 0), Node(2, 0))
GPUS = (Node(16, 4), Node(64, 0))


@pytest.mark.parametrize(
    ("nodes", "num_workers", "num_cpus", "num_gpus", "most"),
    [
        (ONE, 4, 1, 0, 4),
        (ONE, 5, 1, 0, 4),
        (ONE, 8, 0.5, 0, 8),
        ((Node(1, 0),), 3, 1 / 3, 0, 3),
        (TWO, 2, 2, 0, 2),
        (TWO, 1, 3, 0, 0),
        (TWO, 4, 1.5, 0, 2),
        (GPUS, 4, 1, 1, 4),
        (GPUS, 5, 1, 1, 4),
        (ONE, 1, 1, 1, 0),
    ],
    ids=[
        "just",
        "one too many",
        "halves",
        "thirds",
        "one a node",
        "larger than a node",
        "room is left on each",
        "GPUs",
        "CPUs without a GPU",
        "no GPU",
    ],
)
def test_fits(nodes: tuple[Node, ...], num_workers: int, num_cpus: float, num_gpus: int, most: int) -> None:
    scale, shape = ScaleSpec(num_workers=num_workers), WorkerShape(num_cpus=num_cpus, num_gpus=num_gpus)
    if num_workers <= most:
        check_fits(scale, shape, Resources(nodes), where="the cluster")
        return
    with pytest.raises(UserError, match=rf"scale\.num_workers: {num_workers} .* At most {most} such workers fit"):
        check_fits(scale, shape, Resources(nodes), where="the cluster")


def test_resources_in_words() -> None:
    assert str(Resources(GPUS)) == "80 CPUs and 4 GPUs on 2 nodes"
    assert str(Resources(ONE)) == "4 CPUs and 0 GPUs on 1 node"
