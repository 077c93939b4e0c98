"""A place's written form and its keys."""

from __future__ import annotations

import pytest

from eagleray.spec import paths


@pytest.mark.parametrize(
    ("path", "text"),
    [
        pytest.param((), "", id="root"),
        pytest.param(("spec", "train", "seed"), "spec.train.seed", id="keys"),
        pytest.param(("spec", "task", "labels", 0), "spec.task.labels[0]", id="list"),
        pytest.param(("keep", "a.b", "c"), 'keep."a.b".c', id="dot-in-a-key"),
        pytest.param(("keep", "a b"), 'keep."a b"', id="space-in-a-key"),
    ],
)
def test_text(path: paths.Path, text: str) -> None:
    assert paths.text(path) == text


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        pytest.param("train", ("train",), id="one"),
        pytest.param("train.seed", ("train", "seed"), id="two"),
        pytest.param('data.keep."a.b"', ("data", "keep", "a.b"), id="quoted"),
    ],
)
def test_keys(text: str, keys: tuple[str, ...]) -> None:
    assert paths.keys(text) == keys


@pytest.mark.parametrize("text", ["", ".", "a.", ".a", "a..b", "a[0]", 'a."b', "a b"])
def test_no_path(text: str) -> None:
    with pytest.raises(ValueError, match="is no path"):
        paths.keys(text)
