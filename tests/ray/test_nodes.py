"""A cluster of two nodes, one of which does not see the storage: a second raylet in a mount namespace of its own."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from eagleray.spec.document import dump
from tests.ray import heads
from tests.ray.processes import wait_until
from tests.support.training import document

JOIN = "ray start --address={address} --num-cpus=2 --node-ip-address=127.0.0.1 --dashboard-agent-listen-port=0 {rest}"


@pytest.mark.slow  # a cluster of two nodes of its own
def test_a_node_that_does_not_see_the_storage(model: Path, reviews: Path, tmp_path: Path) -> None:
    storage = tmp_path / "storage"
    storage.mkdir()
    job = tmp_path / "job.yaml"
    job.write_text(dump(document(model, reviews, scale={"num_workers": 2})), encoding="utf-8")
    with heads.started(tmp_path, num_cpus=2) as head:
        hide = ("unshare", "--mount", "--map-root-user", "sh", "-c", f"mount -t tmpfs tmpfs '{storage}' && exec \"$@\"")
        if head.start(*hide, "sh", "true").wait() != 0:
            pytest.skip("no mount namespaces here")
        join = JOIN.format(address=head.node_address, rest=" ".join(heads.ON_NODE))
        node = head.start(*hide, "sh", *join.split())
        node.wait_for("Ray runtime started")
        assert wait_until(lambda: head.num_nodes() == 2, timeout_s=60)

        at_head = {"RAY_ADDRESS": head.node_address}
        look = head.start("eagleray", "plan", str(job), "--storage", str(storage), "--preflight", **at_head)
        up = head.start("eagleray", "up", str(job), "--storage", str(storage), **at_head)
        command = head.start("eagleray", "submit", str(job), "--storage", str(storage))

        assert look.wait() == 2, look.out + look.err
        assert up.wait() == 2, up.out + up.err
        assert command.wait() == 2, command.out + command.err
    assert look.out.count("spec.storage") == 3
    assert "not what others write to it" in " ".join(look.out.split())
    assert re.search(rf"error: [\d.]+/\w+: spec\.storage: {re.escape(str(storage))} is there, but not", up.err), up.err
    assert re.search(rf"error: [\d.]+/\w+: spec\.storage: {re.escape(str(storage))} is there, but not", command.out)
    assert "s3://" in command.out
    assert list(storage.iterdir()) == []
