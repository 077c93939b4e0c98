"""What is set before Ray is imported, and that the user's own settings stay."""

from __future__ import annotations

import os

import pytest

from eagleray.serving import shortcut
from eagleray.train import ray_environment

SHORTCUT = "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH"
NAMES = ("RAY_ADDRESS", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_USAGE_STATS_ENABLED", SHORTCUT)


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        # Set and deleted, so that what `prepare` sets is undone too.
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


def test_an_embedded_ray_takes_a_token_of_its_own() -> None:
    ray_environment.prepare()

    assert os.environ["RAY_AUTH_MODE"] == "token"
    assert len(os.environ["RAY_AUTH_TOKEN"]) == 64


@pytest.mark.parametrize(
    ("name", "value"),
    [("RAY_AUTH_MODE", "disabled"), ("RAY_AUTH_TOKEN_PATH", "/keys/ray"), ("RAY_AUTH_TOKEN", "mine")],
)
def test_the_users_own_settings_stay(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)

    ray_environment.prepare()

    assert os.environ[name] == value
    assert os.environ.get("RAY_AUTH_TOKEN") in (None, "mine")


def test_a_named_cluster_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")

    ray_environment.prepare()

    assert not ray_environment.is_embedded()
    assert "RAY_AUTH_MODE" not in os.environ


@pytest.mark.parametrize(("address", "expected"), [(None, shortcut.CALLBACK), ("auto", None)], ids=["own", "cluster"])
def test_only_an_embedded_ray_takes_the_short_way(
    monkeypatch: pytest.MonkeyPatch, address: str | None, expected: str | None
) -> None:
    if address is not None:
        monkeypatch.setenv("RAY_ADDRESS", address)

    ray_environment.prepare_serve()

    assert os.environ.get(shortcut.VARIABLE) == expected
    assert shortcut.is_taken() is (expected is not None)
