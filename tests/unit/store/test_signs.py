"""When was a run heard of last, and is it taken for dead?"""

from __future__ import annotations

from datetime import timedelta

import pytest

from eagleray.store import lease, paths, records, runs, signs
from eagleray.store.lease import HeartbeatRecord
from eagleray.store.objects import Objects
from tests.support.records import NOW, new_run


@pytest.mark.parametrize(
    ("phase", "progress_at_s", "heartbeat_at_s", "now_s", "alive"),
    [
        pytest.param("running", None, None, 60, True, id="just-started"),
        pytest.param("running", None, None, 180, False, id="silent-since-its-start"),
        pytest.param("running", 170, None, 180, True, id="progress"),
        pytest.param("pending", 0, None, 180, False, id="stale-progress"),
        pytest.param("running", None, 170, 180, True, id="a-heartbeat-alone-as-of-a-sweep"),
        pytest.param("running", 0, 170, 180, True, id="stale-progress-and-a-heartbeat"),
        pytest.param("running", 0, 50, 180, False, id="stale-progress-and-a-stale-heartbeat"),
        pytest.param("succeeded", 179, 179, 180, False, id="ended"),
        pytest.param("failed", None, None, 1, False, id="failed"),
    ],
)
def test_is_alive(
    local: Objects, phase: str, progress_at_s: int | None, heartbeat_at_s: int | None, now_s: int, alive: bool
) -> None:
    record = new_run(local, phase=phase)
    if progress_at_s is not None:
        at = NOW + timedelta(seconds=progress_at_s)
        runs.put_progress(local, record.run, runs.ProgressRecord(step=1, phase="training", updated_at=at))
    if heartbeat_at_s is not None:
        lease.take(local, record.run, lease.this_process(), now=lambda: NOW)
        beat = HeartbeatRecord(count=1, at=NOW + timedelta(seconds=heartbeat_at_s))
        local.put(paths.heartbeat(record.run, 1), records.dump(beat))

    assert signs.is_alive(local, record, now=NOW + timedelta(seconds=now_s)) is alive
