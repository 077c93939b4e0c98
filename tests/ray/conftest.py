"""One real Ray cluster for all tests that need one: starting it takes ten seconds and more."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import tiny_models, training

# Ray Train looks at its workers' reports every two seconds unless told otherwise.
os.environ["RAY_TRAIN_HEALTH_CHECK_INTERVAL_S"] = "0.2"

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every test of this folder is a `ray` test."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.ray)


@pytest.fixture(scope="session")
def ray_session(_own_cache: None) -> Iterator[None]:
    """A cluster of four logical CPUs in this process. The dashboard stays: Ray Train's cleaner asks it (ray#54305)."""
    import ray

    ray.init(
        num_cpus=4,
        object_store_memory=200 * 1024**2,
        log_to_driver=False,
        configure_logging=False,
    )
    yield
    ray.shutdown()


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_models.save_encoder(tmp_path_factory.mktemp("model"), dropout=0.0)


@pytest.fixture(scope="session")
def reviews(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "reviews.jsonl"
    training.write_reviews(path, num_rows=70)
    return path
