"""A node comes and another number of workers goes on; a node is taken away, with notice or without.

On a real Ray with a second raylet: what it says of nodes that come, drain and die is what the driver acts on.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import ray

from eagleray.spec.finetune import FineTune
from eagleray.store import stops
from eagleray.store.objects import Objects
from tests.ray import disturbed, second_node
from tests.ray.conftest import Drive
from tests.ray.disturbed import Undisturbed
from tests.ray.second_node import SecondNode
from tests.ray.watching import Watcher

RUN = "test-0001"
STEPS = 700  # seconds of training: a stop that is asked for is heard within one


@pytest.fixture
def room_for_one(ray_session: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[ray.actor.ActorHandle]:
    """Leave one CPU of the cluster; the others are taken until this actor is killed."""
    monkeypatch.setenv("RAY_ADDRESS", "auto")  # else the run is measured by this machine, not by the cluster

    @ray.remote(num_cpus=3)
    class Other:
        def is_there(self) -> bool:
            return True

    other = Other.remote()
    assert ray.get(other.is_there.remote())
    yield other
    ray.kill(other)


@pytest.fixture
def node(room_for_one: None, tmp_path: Path) -> Iterator[SecondNode]:
    folder = tmp_path / "node"
    folder.mkdir()
    with second_node.possible(folder) as node:
        yield node


@pytest.fixture(scope="module")
def elastic(model: Path, reviews: Path) -> FineTune:
    """A document whose losses hardly differ between one worker and two."""
    return disturbed.wanted(
        model,
        reviews,
        train={"epochs": 100, "micro_batch_size": 2, "learning_rate": 1e-4},
        scale={"num_workers": 2, "min_workers": 1, "cpus_per_worker": 1, "zero": {"stage": 2}},
    )


@pytest.fixture(scope="module")
def alone(elastic: FineTune, tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    """The same, undisturbed on one worker."""
    return disturbed.undisturbed(elastic, tmp_path_factory.mktemp("alone"), num_workers=1)


def _is_asked_to_stop(objects: Objects, lease: int) -> bool:
    return stops.read(objects, RUN, lease) is not None


def _worlds(objects: Objects) -> list[int]:
    return [started["world_size"] for started in disturbed.facts(objects, RUN, "started")]


def test_grows_and_leaves_a_node_in_time(
    drive: Drive, objects: Objects, node: SecondNode, elastic: FineTune, alone: Undisturbed
) -> None:
    """A node comes: two workers. It will be taken away: one again. No step is done twice."""
    with second_node.pauses() as pauses:
        grow = lambda: pauses.begin(lambda: node.join(num_cpus=1), until=lambda: _is_asked_to_stop(objects, 1))  # noqa: E731
        shrink = lambda: pauses.begin(node.drain, until=lambda: _is_asked_to_stop(objects, 2))  # noqa: E731

        record = drive(elastic, watcher := Watcher(at={20: grow, 50: shrink}))

    assert (record.phase, record.step, record.restarts) == ("succeeded", STEPS, 2)
    assert _worlds(objects) == [1, 2, 1]
    restarts = disturbed.facts(objects, RUN, "restarted")
    assert [each["reason"] for each in restarts] == ["resize", "preemption"]
    assert [each["step"] - each["saved_step"] for each in restarts] == [0, 0]
    assert [each["step"] for each in disturbed.facts(objects, RUN, "restored")] == [each["step"] for each in restarts]
    assert any("will be taken away" in line for line in watcher.said)
    alone.assert_same_losses(objects, RUN, relative=1e-5)


@pytest.mark.slow  # Ray takes a while to see that a node is dead
def test_grows_and_loses_a_node(
    drive: Drive, objects: Objects, node: SecondNode, elastic: FineTune, alone: Undisturbed
) -> None:
    """A node comes: two workers. It dies: one again, from the last checkpoint."""
    with second_node.pauses() as pauses:
        grow = lambda: pauses.begin(lambda: node.join(num_cpus=1), until=lambda: _is_asked_to_stop(objects, 1))  # noqa: E731

        record = drive(elastic, Watcher(at={20: grow, 70: node.kill}))

    assert (record.phase, record.step, record.restarts) == ("succeeded", STEPS, 2)
    assert _worlds(objects) == [1, 2, 1]
    restarts = disturbed.facts(objects, RUN, "restarted")
    assert [each["reason"] for each in restarts] == ["resize", "infrastructure"]
    assert restarts[0]["step"] == restarts[0]["saved_step"]
    assert restarts[1]["step"] - restarts[1]["saved_step"] < 2 * disturbed.EVERY_STEPS
    alone.assert_same_losses(objects, RUN, relative=1e-5)


@pytest.mark.slow  # the same with as many workers as before, which is bit-equal
def test_moves_to_another_node_in_time(
    drive: Drive,
    objects: Objects,
    node: SecondNode,
    room_for_one: ray.actor.ActorHandle,
    model_with_dropout: Path,
    reviews: Path,
    undisturbed: Undisturbed,
) -> None:
    scale = {"cpus_per_worker": 1}
    node.join(num_cpus=1)

    def take_away() -> None:
        node.drain()
        ray.kill(room_for_one)  # as if another node had come

    with second_node.pauses() as pauses:
        move = lambda: pauses.begin(take_away, until=lambda: _is_asked_to_stop(objects, 1))  # noqa: E731

        record = drive(disturbed.wanted(model_with_dropout, reviews, scale=scale), Watcher(at={50: move}))

    assert (record.phase, record.step, record.restarts) == ("succeeded", disturbed.TOTAL_STEPS, 1)
    [first, second] = disturbed.facts(objects, RUN, "started")
    assert len(first["nodes"]) == 2
    assert len(second["nodes"]) == 1
    [restart] = disturbed.facts(objects, RUN, "restarted")
    assert (restart["reason"], restart["step"]) == ("preemption", restart["saved_step"])
    undisturbed.assert_same_weights(objects, RUN)
