"""Which base models of this process do adapters hold together?"""

from __future__ import annotations

import copy
import threading
import weakref
from collections.abc import Callable

from torch import nn


class Bases:
    """Base models of this process that adapters hold together: each is in memory once, as long as one of them is.

    Threads may ask at the same time.
    """

    def __init__(self) -> None:
        self._loaded: weakref.WeakValueDictionary[str, nn.Module] = weakref.WeakValueDictionary()
        self._loading = threading.Lock()

    def twin(self, key: str, load: Callable[[], nn.Module]) -> nn.Module:
        """A module of its own whose parameters and buffers are those of the one base of this key."""
        with self._loading:
            base = self._loaded.get(key)
            if base is None:
                base = self._loaded[key] = load()
        tensors = {id(tensor): tensor for tensor in (*base.parameters(), *base.buffers())}
        twin = copy.deepcopy(base, dict(tensors))
        twin.__dict__["shared_base"] = base  # kept alive by it, and no part of it
        return twin
