"""A run that goes on is read behind its lease."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from eagleray.spec import document
from eagleray.store import lease, paths, runs
from eagleray.store.holders import Holder
from eagleray.store.lease import HeartbeatRecord
from eagleray.store.objects import Objects, open_storage
from eagleray.store.records import dump
from eagleray.store.runs import RunRecord
from eagleray.train import ground
from tests.ray.watching import Watcher
from tests.support import documents, records

ELSEWHERE = Holder(nonce="a", host="elsewhere", boot_id="b", pid=7, process_started_at=1.0)


class Ending(Watcher):
    """While its lease is waited for, the other driver brings the run to its end."""

    def __init__(self, objects: Objects, record: RunRecord) -> None:
        super().__init__()
        self._objects, self._record = objects, record

    def say(self, message: str) -> None:
        super().say(message)
        runs.save(self._objects, self._record.model_copy(update={"phase": "succeeded"}))
        done = HeartbeatRecord(count=1, at=records.NOW, is_released=True)
        self._objects.put(paths.heartbeat(self._record.run, 1), dump(done))


def test_a_run_that_ends_while_it_is_waited_for_has_succeeded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "data/train.jsonl").write_text('{"text": "a", "label": "b"}\n', encoding="utf-8")
    wanted = document.loads(documents.text(), source="a.yaml").document
    objects = open_storage(str(tmp_path / "storage"))
    record = records.new_run(objects, wanted.metadata.name, phase="running")
    lease.take(objects, record.run, ELSEWHERE, now=lambda: datetime.now(UTC))
    observer = Ending(objects, record)

    with ground.opened(wanted, storage=objects.uri, observer=observer) as opened:
        found = opened.take_newest(kind="FineTune")

    assert observer.said
    assert found is not None
    assert found.run.phase == "succeeded"
