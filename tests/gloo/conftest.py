"""Groups of gloo processes that the tests of this folder share: the imports of a group cost several seconds."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.support.gloo import GlooWorkers


@pytest.fixture(scope="session")
def gloo_workers() -> Iterator[Callable[[int], GlooWorkers]]:
    """`gloo_workers(world_size)`: started at its first use."""
    groups: dict[int, GlooWorkers] = {}

    def workers(world_size: int) -> GlooWorkers:
        if world_size not in groups or not groups[world_size].is_alive:
            groups[world_size] = GlooWorkers(world_size)
        return groups[world_size]

    yield workers
    for group in groups.values():
        group.close()
