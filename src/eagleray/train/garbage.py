"""When does Python look for cyclic garbage while a process imports? Rarely: imports make objects that all stay.

A collection looks at every object that there is. By default one comes every 700 new objects, which is a quarter of the
CPU time of importing torch, transformers and Ray.
"""

from __future__ import annotations

import gc

NEW_OBJECTS = 100_000


def collect_rarely() -> None:
    """Collect once per `NEW_OBJECTS` from here on: for a process that starts."""
    gc.set_threshold(NEW_OBJECTS, *gc.get_threshold()[1:])


def collect_as_usual() -> None:
    """End what `collect_rarely` began, and leave what is there by now out of every later collection.

    To be called before the first tensor is made: a cycle that holds tensors must not wait for its collection.
    """
    gc.freeze()
    gc.set_threshold(700, 10, 10)
