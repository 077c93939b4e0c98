"""Which process on which machine is it, and is it certainly dead?"""

from __future__ import annotations

import os
import socket
import uuid
from contextlib import suppress
from pathlib import Path

from eagleray.store.records import Record

_DEAD_STATES = "ZX"  # a zombie has ended, its parent has not looked yet


class Holder(Record):
    """A process, told apart from every other one there ever was."""

    nonce: str
    host: str
    boot_id: str  # of the kernel: another one after each start of the machine. "" where it is not told
    pid_namespace: str = ""  # process 7 of one container is not process 7 of another on the same machine
    pid: int
    process_started_at: float  # seconds after the machine's start; a process id is given out again

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


def this_process() -> Holder:
    """This process; each call with a nonce of its own."""
    stat = _stat(os.getpid())
    return Holder(
        nonce=uuid.uuid4().hex,
        host=socket.gethostname(),
        boot_id=_boot_id(),
        pid_namespace=_pid_namespace(),
        pid=os.getpid(),
        process_started_at=stat[1] if stat else 0.0,
    )


def is_dead(holder: Holder) -> bool:
    """Whether the process is certainly gone. False where that cannot be known, as of another machine's."""
    here = (socket.gethostname(), _boot_id(), _pid_namespace())
    if not holder.boot_id or (holder.host, holder.boot_id, holder.pid_namespace) != here:
        return False
    try:
        with suppress(PermissionError):  # another user's, and there
            os.kill(holder.pid, 0)
    except ProcessLookupError:
        return True
    stat = _stat(holder.pid)
    return stat is not None and (stat[0] in _DEAD_STATES or stat[1] != holder.process_started_at)


def _stat(pid: int) -> tuple[str, float] | None:
    """State and start of a process; None where this user is not shown them."""
    try:
        # The name before it may hold blanks and parentheses. https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return fields[0], int(fields[19]) / os.sysconf("SC_CLK_TCK")


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def _pid_namespace() -> str:
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""
