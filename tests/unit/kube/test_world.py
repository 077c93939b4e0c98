"""What the operator remembers of the cluster."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from eagleray.kube.kinds import Key
from eagleray.kube.target import Manifest
from eagleray.kube.world import World

FILMS = Key("FineTune", "ml", "films")


def owner(version: int, namespace: str = "ml", **more: Any) -> Manifest:
    metadata = {"name": "films", "namespace": namespace, "uid": "u", "resourceVersion": str(version)}
    return {"apiVersion": "eagleray.io/v1alpha1", "kind": "FineTune", "metadata": metadata, **more}


def child(version: int, name: str = "films", *, labelled: bool = True) -> Manifest:
    reference = {"apiVersion": "eagleray.io/v1alpha1", "kind": "FineTune", "name": "films", "uid": "u"}
    metadata: dict[str, Any] = {"name": name, "namespace": "ml", "resourceVersion": str(version)}
    if labelled:
        metadata |= {"ownerReferences": [reference], "labels": {"app.kubernetes.io/managed-by": "eagleray"}}
    return {"apiVersion": "ray.io/v1", "kind": "RayJob", "metadata": metadata}


def test_a_child_concerns_its_document() -> None:
    assert World().see(child(1)) == (FILMS,)


def test_a_pod_concerns_the_document_that_it_is_labelled_with() -> None:
    labels = {"eagleray.io/name": "films", "eagleray.io/part": "train"}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "ml", "labels": labels}}
    assert World().see(pod) == (FILMS,)


def test_news_that_are_old_are_none() -> None:
    world = World()
    world.see(child(5))
    assert (world.see(child(5)), world.see(child(4)), world.forget(child(4))) == ((), (), ())
    assert world.has("RayJob", "ml", "films")
    assert world.forget(child(6)) == (FILMS,)
    assert not world.has("RayJob", "ml", "films")


def test_a_list_tells_what_is_gone() -> None:
    world = World()
    world.see(child(1, "films"))
    world.see(child(2, "other"))
    assert world.replace("RayJob", None, [child(2, "other")]) == {FILMS}
    assert not world.has("RayJob", "ml", "films")


def test_a_list_of_one_namespace_says_nothing_of_others() -> None:
    world = World()
    world.see(owner(1, "far"))
    world.replace("FineTune", "ml", [owner(2)])
    found = world.keys()
    assert {key.namespace for key in found} == {"far", "ml"}


def test_what_no_list_has_is_not_gone_because_of_that() -> None:
    world = World()
    world.see(child(1, labelled=False))
    world.replace("RayJob", None, [])
    assert world.has("RayJob", "ml", "films")


def test_the_same_state_is_the_same() -> None:
    world = World()
    world.see(owner(1))
    before = world.state(FILMS)
    world.see(child(2))
    assert world.state(FILMS) != before
    world.forget(child(3))
    assert world.state(FILMS) == before


def test_documents_are_counted_by_phase() -> None:
    world = World()
    world.see(owner(1, status={"phase": "Running"}))
    world.see(owner(2, "far", status={"phase": "Running"}))
    assert world.phases() == {("FineTune", "Running"): 2}
    world.forget(owner(3))
    assert world.phases() == {("FineTune", "Running"): 1}


def test_what_comes_while_a_list_is_read_stays() -> None:
    world = World()

    def pages() -> Iterator[Manifest]:
        yield child(1, "films")
        world.see(child(3, "new"))

    world.replace("RayJob", None, pages())
    assert world.has("RayJob", "ml", "new")
