"""A process is taken for dead only where that is certain."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from eagleray.store.holders import Holder, is_dead, this_process


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process
        process.kill()


def _of(process: subprocess.Popen[bytes], **changes: Any) -> Holder:
    """The child as it would describe itself."""
    fields = subprocess.run(["cat", f"/proc/{process.pid}/stat"], capture_output=True, check=True, text=True).stdout
    started_at = int(fields.rpartition(")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")
    return this_process().model_copy(update={"pid": process.pid, "process_started_at": started_at, **changes})


def test_this_process_lives_and_is_told_apart() -> None:
    assert not is_dead(this_process())
    assert this_process().nonce != this_process().nonce
    assert this_process().model_copy(update={"nonce": ""}) == this_process().model_copy(update={"nonce": ""})
    assert str(this_process()).startswith(f"process {os.getpid()} on ")


def test_a_child_lives_then_is_a_zombie_then_is_gone(child: subprocess.Popen[bytes]) -> None:
    holder = _of(child)
    assert not is_dead(holder)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # it has ended, and is still a zombie
    assert is_dead(holder)
    child.wait()
    assert is_dead(holder)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param({"process_started_at": 1.5}, True, id="its-number-was-given-out-again"),
        pytest.param({"host": "elsewhere"}, False, id="another-machine"),
        pytest.param({"boot_id": "before"}, False, id="a-machine-of-the-same-name"),
        pytest.param({"boot_id": ""}, False, id="unknown-boot"),
        pytest.param({"pid_namespace": "pid:[1]"}, False, id="another-container"),
    ],
)
def test_certainty(child: subprocess.Popen[bytes], changes: dict[str, Any], expected: bool) -> None:
    holder = _of(child, **changes)
    child.kill()
    if not expected:  # gone, and yet it cannot be known from here
        child.wait()
    assert is_dead(holder) == expected


@pytest.mark.skipif(os.geteuid() != 0, reason="another user can only be taken on by root")
def test_another_users_process_is_there() -> None:
    script = (
        "import os, sys; from eagleray.store.holders import Holder, is_dead\n"
        "holder = Holder.model_validate_json(sys.argv[1]); os.setgid(65534), os.setuid(65534)\n"
        "print(is_dead(holder))"
    )
    told = subprocess.run(
        [sys.executable, "-c", script, this_process().model_dump_json()], capture_output=True, text=True, check=True
    )
    assert told.stdout == "False\n"
