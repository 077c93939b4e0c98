"""How is a pure function applied to batches by all CPUs, in order and in bounded memory?

The first batches are done here: a small data set is done before another process would have started. The result is the
same however many processes there are.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from itertools import chain, islice
from typing import Any, TypeVar

Batch = TypeVar("Batch")
Result = TypeVar("Result")

ALONE_BATCHES = 20
"""Of a thousand rows: seconds, as long as processes take to start."""
MAX_PROCESSES = 16
WAITING = 2
"""Batches a process, on their way or done and not yet taken: what bounds the memory."""


def in_order(
    function: Callable[[Batch], Result],
    batches: Iterable[Batch],
    *,
    num_processes: int | None = None,
    alone: int = ALONE_BATCHES,
) -> Iterator[Result]:
    """Yield `function(batch)` of each batch, in their order. `num_processes` left out: one a CPU of this process.

    A function that cannot be sent to another process is applied here.
    """
    stream = iter(batches)
    yield from map(function, islice(stream, alone))
    first = next(stream, None)
    if first is None:
        return
    rest = chain([first], stream)
    num_processes = num_processes or min(MAX_PROCESSES, len(os.sched_getaffinity(0)))
    packed = _packed(function) if num_processes > 1 else None
    if packed is None:
        yield from map(function, rest)
        return
    # Spawned: a fork of a process with threads, as a driver of Ray is, may hang.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(num_processes, context, initializer=_begin, initargs=(packed,)) as pool:
        waiting: deque[Future[Any]] = deque()
        try:
            for batch in rest:
                waiting.append(pool.submit(_apply, batch))
                if len(waiting) >= WAITING * num_processes:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def _packed(function: Callable[..., Any]) -> bytes | None:
    """The function as it is sent, once to each process; None where it cannot be: a tokenizer with code of its own."""
    try:
        return pickle.dumps(function)
    except (pickle.PicklingError, AttributeError, TypeError):
        return None


_functions: list[Callable[[Any], Any]] = []


def _begin(packed: bytes) -> None:
    """Set up a process: it works alone, its threads would only get in the way of the others'."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    os.environ["OMP_NUM_THREADS"] = "1"
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _functions[:] = [pickle.loads(packed)]


def _end_with_parent() -> None:
    """A parent that was killed cannot stop its pool: processes would wait for its batches for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _apply(batch: Any) -> Any:
    return _functions[0](batch)
