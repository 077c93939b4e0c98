"""What a probe leaves on the storage: nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from eagleray.flow import probe
from eagleray.store.objects import open_storage


def test_a_cluster_leaves_nothing_on_the_storage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    with probe._storage(str(tmp_path)) as place:
        objects = open_storage(place)
        objects.put("runs/demo-0001/run.json", b"{}")
        (Path(place) / "runs" / "demo-0001" / "model.safetensors#123").touch()  # half written by a worker

    assert list(tmp_path.iterdir()) == []
