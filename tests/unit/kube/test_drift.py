"""What of an object in a cluster is no longer as it was asked for."""

from __future__ import annotations

from typing import Any

import pytest

from eagleray.kube import drift


@pytest.mark.parametrize(
    ("there", "wanted", "place"),
    [
        pytest.param({"a": 1, "b": 2}, {"a": 1}, None, id="others add keys"),
        pytest.param({"a": {"b": 2}}, {"a": {"b": 1}}, "a.b", id="changed"),
        pytest.param({}, {"a": {"b": 1}}, "a", id="taken away"),
        pytest.param({}, {"a": {}, "b": [], "c": "", "d": None}, None, id="what is empty is left out"),
        pytest.param({"l": [{"n": 1, "p": "TCP"}]}, {"l": [{"n": 1}]}, None, id="defaults in entries"),
        pytest.param({"l": [1, 2]}, {"l": [1]}, "l", id="an entry more"),
        pytest.param({"l": [{"n": 1}, {"n": 3}]}, {"l": [{"n": 1}, {"n": 2}]}, "l[1].n", id="another entry"),
        pytest.param({"resources": {"memory": "1Gi"}}, {"resources": {"memory": "1024Mi"}}, None, id="same amount"),
        pytest.param({"resources": {"cpu": "1"}}, {"resources": {"cpu": "500m"}}, "resources.cpu", id="other CPUs"),
        pytest.param({"image": "a:1.1"}, {"image": "a:1.10"}, "image", id="versions are no amounts"),
        pytest.param({"v": "1.1"}, {"v": "1.10"}, "v", id="nor is a number elsewhere"),
        pytest.param({"a": None}, {"a": False}, "a", id="false is no nothing"),
    ],
)
def test_the_first_place_is_named(there: Any, wanted: Any, place: str | None) -> None:
    assert drift.edited(there, wanted) == place


def test_an_object_is_known_by_what_it_was_made_from() -> None:
    made = drift.marked({"kind": "A", "metadata": {"name": "a"}, "spec": {"x": 1}})
    other = drift.marked({"kind": "A", "metadata": {"name": "a"}, "spec": {"x": 2}})
    edited = {**made, "spec": {"x": 2}}
    assert drift.is_meant(edited, made)
    assert not drift.is_meant(made, other)
