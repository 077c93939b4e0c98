"""What the workers of an attempt have reserved on the cluster: who gives it back when Ray Train's controller dies?

Imported by the controller's process, so it imports no more than that one has.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ray import PlacementGroupID
from ray.train.v2._internal.callbacks.placement_group_callback import PlacementGroupCleanerCallback
from ray.train.v2._internal.execution.callback import WorkerGroupCallback
from ray.util.placement_group import PlacementGroup, remove_placement_group


class Place(WorkerGroupCallback):
    """Writes down, in the controller, what the workers have reserved. That process is on the driver's machine."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def after_worker_group_start(self, worker_group: Any) -> None:
        """Be told by Ray Train that the workers are there."""
        group = worker_group.get_worker_group_state().placement_group_handle.placement_group
        self._file.write_text(group.id.hex(), encoding="utf-8")

    def give_back(self) -> None:
        """In the driver, after the controller has died: else it stays reserved as long as the driver lives."""
        if self._file.exists():
            remove_placement_group(PlacementGroup(PlacementGroupID.from_hex(self._file.read_text(encoding="utf-8"))))


def without_cleaner(callbacks: Iterable[Any]) -> list[Any]:
    """Leave out the actor by which Ray Train does the same.

    It takes 600 MB an attempt, and asks "the latest" Ray of its machine whether the controller lives (ray 2.60). Beside
    another Ray it takes the place from under workers that live, or waits in vain at the end of each attempt.
    """
    return [callback for callback in callbacks if not isinstance(callback, PlacementGroupCleanerCallback)]
