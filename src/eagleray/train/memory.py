"""How many samples of the longest kind a worker can hold at once, measured before the first step."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from eagleray.errors import OutOfMemory

SHARE_OF_FREE_MEMORY = 0.8
"""What the micro batch may use of the free memory; the rest is for fragmentation and for other lengths' buffers."""


def fitting_micro_batch_size(
    measure: Callable[[int], int], *, free_bytes: int, reserved_bytes: int, largest: int
) -> int:
    """Return the largest of 1, 2, 4, …, `largest` rows whose predicted peak fits.

    `measure(rows)` runs forward and backward on so many of the longest samples and returns the growth of the peak in
    bytes. Only one and two rows are run: what more rows need is a straight line through both, so that no rank can
    run out of memory alone while the others wait for it in a collective. `reserved_bytes` is what the optimizer will
    take at its first step.
    """
    if largest == 1:
        return 1
    one = measure(1)
    two = measure(2)
    row = max(two - one, one // 4, 1)
    budget = int(free_bytes * SHARE_OF_FREE_MEMORY) - reserved_bytes
    fits = 1 + max(0, budget - one) // row
    if budget < one:
        raise OutOfMemory(
            f"one sample of the longest kind needs {_gib(one)} and the optimizer {_gib(reserved_bytes)}, but a worker "
            f"has {_gib(free_bytes)} free: lower data.max_length, use method lora, a higher scale.zero.stage or "
            "train.gradient_checkpointing"
        )
    return largest if fits >= largest else 1 << (fits.bit_length() - 1)


def free_bytes(device: torch.device, *, num_local_workers: int) -> int:
    """Return the memory that this worker can still take: of its GPU, or its share of what the host has free."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    available = int(_proc_value(Path("/proc/meminfo"), "MemAvailable"))
    return min(available, _cgroup_free_bytes(available)) // num_local_workers


class PeakMemory:
    """The growth of this process's peak memory while a function runs."""

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def growth(self, run: Callable[[], None]) -> int:
        """Run and return by how many bytes the peak exceeds what was held before."""
        if self._device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self._device)
            before = torch.cuda.memory_allocated(self._device)
            run()
            return int(torch.cuda.max_memory_allocated(self._device) - before)
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # resets VmHWM, the peak of resident memory
        status = Path("/proc/self/status")
        before = _proc_value(status, "VmRSS")
        run()
        return max(0, _proc_value(status, "VmHWM") - before)


def _proc_value(path: Path, key: str) -> int:
    """A value of a /proc file in bytes."""
    for line in path.read_text(encoding="ascii").splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) * 1024
    raise KeyError(key)


def _cgroup_free_bytes(otherwise: int) -> int:
    """What the container may still take, where there is a limit."""
    limit, usage = Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")
    if not limit.exists() or limit.read_text(encoding="ascii").strip() == "max":
        return otherwise
    return max(0, int(limit.read_text(encoding="ascii")) - int(usage.read_text(encoding="ascii")))


def _gib(size_bytes: int) -> str:
    return f"{size_bytes / 2**30:.1f} GiB"
