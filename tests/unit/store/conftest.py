"""Storages of each kind, empty."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from eagleray.store.objects import Objects, open_storage
from tests.support import s3


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    with s3.served() as endpoint:
        yield endpoint


@pytest.fixture
def s3_uri(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> str:
    for name, value in s3.environment(s3_endpoint).items():
        monkeypatch.setenv(name, value)
    return f"s3://{s3.new_bucket(s3_endpoint)}/some/prefix"


@pytest.fixture(params=["local", "memory", "s3"])
def objects(request: pytest.FixtureRequest, tmp_path: Path) -> Objects:
    match request.param:
        case "local":
            return open_storage(str(tmp_path / "storage"))
        case "memory":
            return open_storage("memory://")
        case _:
            return open_storage(request.getfixturevalue("s3_uri"))


@pytest.fixture
def local(tmp_path: Path) -> Objects:
    return open_storage(str(tmp_path / "storage"))
