"""One real Ray cluster for all tests that need one: starting it takes ten seconds and more."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from eagleray.spec.document import dump
from eagleray.spec.finetune import FineTune
from eagleray.store.objects import Objects, open_storage
from eagleray.store.runs import RunRecord
from eagleray.train import ray_environment
from tests.ray import disturbed
from tests.ray.disturbed import Undisturbed
from tests.ray.watching import Watcher
from tests.support import tiny_models, training

os.environ.update(ray_environment.TRAIN)  # as a command does

TIMEOUT_S = 900
HERE = Path(__file__).parent

Drive = Callable[..., RunRecord]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every test of this folder is a `ray` test, with time for a machine that is busy otherwise."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.ray)
            item.add_marker(pytest.mark.timeout(TIMEOUT_S))  # after a test's own, which counts


@pytest.fixture(scope="session")
def ray_session(_own_cache: None) -> Iterator[None]:
    """A cluster of four logical CPUs in this process. The dashboard stays: Ray Train's cleaner asks it (ray#54305)."""
    import ray

    ray.init(
        address="local",  # else it joins any other Ray of this machine
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
def model_with_dropout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_models.save_encoder(tmp_path_factory.mktemp("model"), dropout=0.1)


@pytest.fixture(scope="session")
def reviews(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "reviews.jsonl"
    training.write_reviews(path, num_rows=70)
    return path


@pytest.fixture(scope="session")
def undisturbed(model_with_dropout: Path, reviews: Path, tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    """What the disturbed runs must come to."""
    wanted = disturbed.wanted(model_with_dropout, reviews)
    return disturbed.undisturbed(wanted, tmp_path_factory.mktemp("undisturbed"), num_workers=2)


@pytest.fixture
def objects(tmp_path: Path) -> Objects:
    return open_storage(str(tmp_path / "storage"))


@pytest.fixture
def drive(ray_session: None, objects: Objects, tmp_path: Path) -> Drive:
    """Be the driver of a run on the session's Ray."""
    from eagleray.train.run import fine_tune

    def drive(wanted: FineTune, watcher: Watcher, **how: Any) -> RunRecord:
        cache = tmp_path / "cache"
        return fine_tune(wanted, text=dump(wanted), storage=objects.uri, cache_dir=cache, observer=watcher, **how)

    return drive
