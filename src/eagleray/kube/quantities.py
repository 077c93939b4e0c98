"""How does Kubernetes write amounts of CPU and memory?"""

from __future__ import annotations

import re
from typing import Final

_BINARY: Final = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}
_DECIMAL: Final = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


def size_bytes(quantity: str) -> int:
    """The bytes of an amount such as 8Gi."""
    match = re.fullmatch(r"([0-9.]+)([A-Za-z]*)", quantity)
    if match is None:
        raise ValueError(f"{quantity!r} is no amount of memory")
    return int(float(match[1]) * (_BINARY | _DECIMAL)[match[2]])


def cpus(number: float) -> str:
    """CPUs as Kubernetes writes them back: whole ones plain, parts in thousandths."""
    thousandths = round(number * 1000)
    return str(thousandths // 1000) if thousandths % 1000 == 0 else f"{thousandths}m"
