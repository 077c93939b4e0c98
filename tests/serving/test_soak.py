"""A short soak: what is trained is killed, what is promoted is served, and nobody who asks notices.

`bench/soak.py` goes on for hours and sees whether anything grows; here it is one round.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.soak import LAST_STEP, soaking
from eagleray.store import registry, runs
from eagleray.store.objects import open_storage
from eagleray.store.scratch import PREFIX

pytestmark = [pytest.mark.ray, pytest.mark.slow]


@pytest.fixture
def scratch() -> Iterator[Path]:
    """Ray's sockets lie below it: a path has 107 bytes."""
    folder = Path(tempfile.mkdtemp(prefix="er-", dir="/tmp"))
    yield folder
    shutil.rmtree(folder)


def test_a_round_with_its_driver_killed(scratch: Path) -> None:
    with soaking(scratch) as soak:
        soaked = soak.run(["the driver"])

    assert soaked.seen.keys() == {(200, 1), (200, 2)}
    objects = open_storage(str(scratch / "storage"))
    first, second = (registry.read(objects, "test", version) for version in (1, 2))
    weights = [{file.path: file.sha256 for file in each.files}["model.safetensors"] for each in (first, second)]
    assert weights[0] == weights[1] == soaked.weights[0]
    [record] = runs.list_runs(objects)
    assert (record.phase, record.step, record.run) == ("succeeded", LAST_STEP, second.run)
    assert list((scratch / "t").glob(f"{PREFIX}*")) == []
