"""Which inputs are answered together, and when?

One batch is in the model at a time. Meanwhile inputs gather, and the next batch is the one that has waited longest with
those nearest to it in length: on a CPU a padded token costs as much as a real one, so batching must not add many.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

from eagleray.data.encoder import length_of

Sample = Mapping[str, Any]
Answer = dict[str, Any]


class Overloaded(Exception):
    """Too many inputs wait already."""

    def __init__(self, retry_after_s: float) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(f"too many inputs wait, try again in {retry_after_s:.0f} s")


class ObserveBatch(Protocol):
    """Told of each batch that was answered."""

    def __call__(
        self, *, num_inputs: int, num_tokens: int, num_padded: int, model_s: float, waited_s: list[float]
    ) -> None:
        """`num_tokens` without padding; `num_padded` with it; how long each input had waited."""


@dataclass(slots=True)
class _Waiting:
    sample: Sample
    length: int
    answer: asyncio.Future[Answer]
    since: float = field(default_factory=time.perf_counter)


class Batcher:
    """Gathers the inputs of many requests into batches for one model. Belongs to one event loop."""

    def __init__(
        self,
        answer: Callable[[list[Sample]], list[Answer]],
        *,
        executor: Executor,
        max_size: int,
        max_tokens: int,
        max_padding: float,
        max_wait_s: float,
        max_queue: int,
        max_queue_s: float,
        observe: ObserveBatch,
    ) -> None:
        """`answer` runs in `executor`; a batch is within `max_size` inputs, `max_tokens` padded tokens and a share
        `max_padding` of padding; an idle model waits `max_wait_s` for company; `max_queue` inputs may wait, and
        none that would wait longer than `max_queue_s` by the pace of those before."""
        self._answer, self._executor, self._observe = answer, executor, observe
        self._max_size, self._max_tokens, self._max_padding = max_size, max_tokens, max_padding
        self._max_wait_s, self._max_queue, self._max_queue_s = max_wait_s, max_queue, max_queue_s
        self._waiting: list[_Waiting] = []
        self._is_full = asyncio.Event()  # a whole batch waits: no reason to wait for company
        self._runner: asyncio.Task[None] | None = None
        self._seconds_per_input = 0.01  # running mean, from the end of a batch to that of the next

    @property
    def num_waiting(self) -> int:
        """Inputs that are not yet in a batch."""
        return len(self._waiting)

    def refusal_s(self, num_inputs: int = 1) -> float | None:
        """When to ask again, where so many inputs would not be taken now; None where they would.

        How long one that comes now would wait is reckoned by the pace of those before, and is no less than the first
        in the queue has waited already: the model is not all that an answer takes.
        """
        if not self._waiting:  # a request may be larger than the queue as long as nobody waits
            return None
        waited_s = time.perf_counter() - self._waiting[0].since
        wait_s = max(len(self._waiting) * self._seconds_per_input, waited_s)
        if len(self._waiting) + num_inputs <= self._max_queue and wait_s <= self._max_queue_s:
            return None
        return max(1.0, wait_s)

    async def submit(self, samples: Sequence[Sample]) -> list[Answer]:
        """Answer samples, in their order. One whose caller gives up leaves the queue.

        Raises:
            Overloaded: they do not fit in the queue; none of them was taken.
        """
        if (retry_after_s := self.refusal_s(len(samples))) is not None:
            raise Overloaded(retry_after_s)
        loop = asyncio.get_running_loop()
        entries = [_Waiting(sample, length_of(sample), loop.create_future()) for sample in samples]
        self._waiting += entries
        if len(self._waiting) >= self._max_size:
            self._is_full.set()
        if self._runner is None:
            self._runner = loop.create_task(self._run())
        try:
            return await asyncio.gather(*(entry.answer for entry in entries))
        finally:
            self._leave(entries)

    def _leave(self, entries: list[_Waiting]) -> None:
        """What nobody waits for any more holds no place in the queue: one of its inputs failed, or its caller left."""
        for entry in entries:
            entry.answer.cancel()
        if any(entry.answer.cancelled() for entry in entries):
            self._waiting = [entry for entry in self._waiting if not entry.answer.done()]

    async def _run(self) -> None:
        """Answer batches until nobody waits."""
        try:
            await self._wait_for_company()
            ended = time.perf_counter()
            while batch := self._next():
                await self._answer_batch(batch)
                began, ended = ended, time.perf_counter()
                self._seconds_per_input += 0.1 * ((ended - began) / len(batch) - self._seconds_per_input)
        finally:
            self._runner = None
            for entry in self._waiting:  # only where the loop or the executor ends: they would wait for ever
                entry.answer.cancel()

    async def _wait_for_company(self) -> None:
        if not self._max_wait_s or len(self._waiting) >= self._max_size:
            return
        self._is_full.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(self._max_wait_s):
                await self._is_full.wait()

    def _next(self) -> list[_Waiting]:
        if not self._waiting:
            return []
        chosen = choose(
            [entry.length for entry in self._waiting],
            max_size=self._max_size,
            max_tokens=self._max_tokens,
            max_padding=self._max_padding,
        )
        batch = [self._waiting[index] for index in chosen]
        taken = set(chosen)
        self._waiting = [entry for index, entry in enumerate(self._waiting) if index not in taken]
        return batch

    async def _answer_batch(self, batch: list[_Waiting]) -> None:
        began = time.perf_counter()
        loop = asyncio.get_running_loop()
        try:
            answers = await loop.run_in_executor(self._executor, self._answered, [entry.sample for entry in batch])
            self._note(batch, began=began, model_s=time.perf_counter() - began)
        except asyncio.CancelledError:  # the loop ends, or the executor was shut down
            for entry in batch:
                entry.answer.cancel()
            raise
        except Exception as error:  # belongs to the callers, who wait for it
            for entry in batch:
                if not entry.answer.done():
                    entry.answer.set_exception(error)
            return
        for entry, answer in zip(batch, answers, strict=True):
            if not entry.answer.done():
                entry.answer.set_result(answer)

    def _answered(self, samples: list[Sample]) -> list[Answer]:
        try:
            answers = self._answer(samples)
        except StopIteration as error:  # no future can hold it: asyncio would wait for ever
            raise RuntimeError("the model failed by StopIteration") from error
        if len(answers) != len(samples):
            raise RuntimeError(f"the model gave {len(answers)} answers to {len(samples)} inputs")
        return answers

    def _note(self, batch: list[_Waiting], *, began: float, model_s: float) -> None:
        self._observe(
            num_inputs=len(batch),
            num_tokens=sum(entry.length for entry in batch),
            num_padded=len(batch) * max(entry.length for entry in batch),
            model_s=model_s,
            waited_s=[began - entry.since for entry in batch],
        )


def choose(lengths: Sequence[int], *, max_size: int, max_tokens: int, max_padding: float) -> list[int]:
    """Indices of the next batch: the first input, and the others nearest to it in length that keep within the bounds.

    `lengths` are tokens in order of arrival. The first is always answered, however long it is.
    """
    chosen, longest, total = [0], lengths[0], lengths[0]
    for index in sorted(range(1, len(lengths)), key=lambda index: abs(lengths[index] - lengths[0])):
        if len(chosen) == max_size:
            break
        tallest, tokens = max(longest, lengths[index]), total + lengths[index]
        padded = (len(chosen) + 1) * tallest
        if padded > max_tokens or padded - tokens > max_padding * padded:
            continue
        chosen.append(index)
        longest, total = tallest, tokens
    return chosen
