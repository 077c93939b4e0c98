"""What Ray Serve is told to run."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
from pydantic.warnings import PydanticDeprecatedSince20

with warnings.catch_warnings():
    # Ray Serve declares its own fields as pydantic 1 wanted them (ray 2.60).
    warnings.simplefilter("ignore", PydanticDeprecatedSince20)
    from eagleray.serving import app


@pytest.mark.parametrize(
    ("given", "variables", "expected"),
    [
        pytest.param("/given", {"EAGLERAY_CACHE": "/cache"}, "/given", id="given"),
        pytest.param("", {"EAGLERAY_CACHE": "~/cache"}, "/home/me/cache", id="variable"),
        pytest.param("", {"EAGLERAY_CACHE": ""}, "/home/me/.cache/eagleray", id="default"),
        pytest.param("", {"EAGLERAY_CACHE": "", "XDG_CACHE_HOME": "/xdg"}, "/home/me/.cache/eagleray", id="xdg"),
    ],
)
def test_versions_are_fetched_to_the_cache_of_each_command(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, given: str, variables: dict[str, str], expected: str
) -> None:
    for name, value in {"HOME": "/home/me", **variables}.items():
        monkeypatch.setenv(name, value)
    arguments = app.Arguments(storage=str(tmp_path), models=[{"name": "films", "model": "films@1"}], cache_dir=given)

    _, _, cache_dir, _ = app.build(arguments)._bound_deployment.init_args

    assert cache_dir == expected
