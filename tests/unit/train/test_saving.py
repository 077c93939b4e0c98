"""Where a worker cannot fetch what all are about to use, all of them hear of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from eagleray.errors import StorageError
from eagleray.train.saving import Saver

AWAY = StorageError("the storage is away")
CHOSEN: Any = SimpleNamespace(identity="000000010-0001")


@dataclass
class Pair:
    """A group of two, by what the other worker tells."""

    other: StorageError | None = None
    told: list[StorageError | None] = field(default_factory=list)

    def exchange(self, mine: StorageError | None) -> list[StorageError | None]:
        self.told.append(mine)
        return [mine, self.other]


def saver(group: Pair, *, problem: StorageError | None = None) -> Any:
    def fetched(chosen: Any) -> Path:
        if problem is not None:
            raise problem
        return Path("best")

    return SimpleNamespace(_group=group, _fetched=fetched, _directory=lambda identity: Path("fetched") / identity)


def test_files_that_every_worker_has() -> None:
    group = Pair()

    assert Saver.files(saver(group), CHOSEN) == Path("fetched/000000010-0001")
    assert group.told == [None]


@pytest.mark.parametrize(
    ("mine", "other"),
    [pytest.param(AWAY, None, id="here"), pytest.param(None, AWAY, id="at-the-other")],
)
def test_files_that_one_worker_lacks(mine: StorageError | None, other: StorageError | None) -> None:
    group = Pair(other)

    with pytest.raises(StorageError, match="the storage is away"):
        Saver.files(saver(group, problem=mine), CHOSEN)

    assert group.told == [mine]
