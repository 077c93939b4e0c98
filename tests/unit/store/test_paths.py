"""Where everything lies, and which ids and keys are refused."""

from __future__ import annotations

import pytest

from eagleray.errors import StorageError, UserError
from eagleray.store import paths, safe_keys


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (paths.run("a-0001"), "runs/a-0001"),
        (paths.document("a-0001"), "runs/a-0001/document.yaml"),
        (paths.lock("a-0001"), "runs/a-0001/lock.json"),
        (paths.record("a-0001"), "runs/a-0001/run.json"),
        (paths.progress("a-0001"), "runs/a-0001/progress.json"),
        (paths.event("a-0001", 7), "runs/a-0001/events/000007.json"),
        (paths.steps("a-0001", 3, 7), "runs/a-0001/steps/000003-000007.jsonl"),
        (paths.checkpoint("a-0001", 50, 3), "runs/a-0001/checkpoints/000000050-0003"),
        (paths.manifest("a-0001", 50, 3), "runs/a-0001/checkpoints/000000050-0003/manifest.json"),
        (paths.state_shard(2), "state/00002.safetensors"),
        (paths.lease("a-0001", 3), "runs/a-0001/leases/000003.json"),
        (paths.heartbeat("a-0001", 3), "runs/a-0001/heartbeats/000003.json"),
        (paths.stop("a-0001", 3), "runs/a-0001/stop/000003.json"),
        (paths.ledger("a-0001", 50, 3), "runs/a-0001/ledger/000000050-0003.jsonl.gz"),
        (paths.quarantine("a-0001"), "runs/a-0001/quarantine.jsonl"),
        (paths.failure("a-0001", 3, 2), "runs/a-0001/failures/000003-00002"),
        (paths.model("a-0001"), "runs/a-0001/model"),
        (paths.tensorboard("a-0001"), "runs/a-0001/tensorboard"),
    ],
)
def test_keys(key: str, expected: str) -> None:
    assert key == expected == safe_keys.check(key)


@pytest.mark.parametrize(
    "run", ["", "..", "a/b", "/a", "A", "a_1", "a\n", "-a", "a-", "a.b", "a" * 61, "a b", "ü"], ids=repr
)
def test_no_run_id(run: str) -> None:
    with pytest.raises(UserError, match="is no run id"):
        paths.run(run)


def test_the_longest_name_makes_a_run_id() -> None:
    assert paths.run("a" * 40 + "-123456")


def test_a_bad_key_says_what_is_wrong_with_it() -> None:
    with pytest.raises(StorageError, match=r"'a/\.\./b' cannot be a key on the storage: '//', '\.' and '\.\.' are not"):
        safe_keys.check("a/../b")
