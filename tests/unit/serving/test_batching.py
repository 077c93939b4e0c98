"""Batches are bounded, nobody starves, and each caller gets the answers to its inputs, or the error of its batch."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eagleray.serving.batching import Answer, Batcher, Overloaded, Sample, choose

# choose


@pytest.mark.parametrize(
    ("lengths", "max_size", "max_tokens", "max_padding", "expected"),
    [
        pytest.param([5], 8, 100, 0.0, [0], id="alone"),
        pytest.param([500, 5], 8, 100, 1.0, [0], id="longer-than-a-batch"),
        pytest.param([5, 5, 5, 5], 2, 100, 0.0, [0, 1], id="size"),
        pytest.param([5, 5, 5, 5], 8, 15, 0.0, [0, 1, 2], id="tokens"),
        pytest.param([5, 9, 5], 8, 20, 1.0, [0, 2], id="tokens-with-padding"),
        pytest.param([10, 5, 10], 8, 100, 0.0, [0, 2], id="no-padding"),
        pytest.param([10, 9, 1], 8, 100, 0.1, [0, 1], id="padding"),
        pytest.param([10, 8, 10, 10, 10], 8, 100, 0.05, [0, 2, 3, 4, 1], id="padding-of-the-whole-batch"),
        pytest.param([10, 40, 12, 9], 3, 1000, 1.0, [0, 3, 2], id="nearest-first"),
        pytest.param([5, 6, 4, 5], 8, 1000, 1.0, [0, 3, 1, 2], id="equally-near-by-arrival"),
        pytest.param([0, 0, 3], 8, 100, 0.1, [0, 1], id="empty"),
    ],
)
def test_choice(lengths: list[int], max_size: int, max_tokens: int, max_padding: float, expected: list[int]) -> None:
    assert choose(lengths, max_size=max_size, max_tokens=max_tokens, max_padding=max_padding) == expected


LENGTHS = st.lists(st.integers(0, 600), min_size=1, max_size=80)
BOUNDS = st.fixed_dictionaries(
    {"max_size": st.integers(1, 40), "max_tokens": st.integers(1, 4096), "max_padding": st.floats(0, 1)}
)


@given(lengths=LENGTHS, bounds=BOUNDS)
def test_a_choice_keeps_its_bounds(lengths: list[int], bounds: dict[str, Any]) -> None:
    chosen = choose(lengths, **bounds)

    padded = len(chosen) * max(lengths[index] for index in chosen)
    assert chosen[0] == 0
    assert len(set(chosen)) == len(chosen) <= bounds["max_size"]
    if len(chosen) > 1:
        assert padded <= bounds["max_tokens"]
        assert padded - sum(lengths[index] for index in chosen) <= bounds["max_padding"] * padded


@given(lengths=LENGTHS, bounds=BOUNDS)
def test_nobody_starves(lengths: list[int], bounds: dict[str, Any]) -> None:
    """What waits is answered after no more batches than inputs came before it, whatever comes after it."""
    waiting = list(enumerate(lengths))
    for number_of_batches in range(1, len(lengths) + 1):
        chosen = set(choose([length for _, length in waiting], **bounds))
        waiting = [each for index, each in enumerate(waiting) if index not in chosen]
        newcomers = [(len(lengths), lengths[0])] * len(chosen)
        waiting += newcomers
        assert all(number >= number_of_batches for number, _ in waiting)


# Batcher

QUEUE: dict[str, Any] = {"max_queue": 8, "max_queue_s": 60.0}


@dataclass
class Model:
    """Answers with the name of each input; holds where it is told to, and fails on what is told to fail."""

    is_held: bool = False
    batches: list[list[str]] = field(default_factory=list)
    observed: list[dict[str, Any]] = field(default_factory=list)
    errors: dict[str, BaseException] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.begun, self.go = threading.Semaphore(0), threading.Semaphore(0)

    def __call__(self, samples: list[Sample]) -> list[Answer]:
        names = [sample["name"] for sample in samples]
        self.batches.append(names)
        self.begun.release()
        if self.is_held:
            assert self.go.acquire(timeout=20)
        for name in names:
            if name in self.errors:
                raise self.errors[name]
        return [{"name": name} for name in names]

    def observe(self, **facts: Any) -> None:
        self.observed.append(facts)

    async def has_begun(self) -> None:
        assert await asyncio.to_thread(self.begun.acquire, timeout=20)


def _samples(*names: str, length: int = 4) -> list[Sample]:
    return [{"name": name, "input_ids": [0] * length} for name in names]


def _names(answers: list[Answer]) -> list[str]:
    return [answer["name"] for answer in answers]


def _run(model: Model, story: Callable[[Batcher], Awaitable[None]], **options: Any) -> None:
    """Run a story to its end; fail where asyncio had to complain about something nobody looked at."""
    complaints: list[dict[str, Any]] = []

    async def told(executor: ThreadPoolExecutor) -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
        settings = {"max_size": 4, "max_tokens": 1000, "max_padding": 1.0, "max_wait_s": 0.0, **QUEUE, **options}
        batcher = Batcher(model, **{"executor": executor, "observe": model.observe, **settings})
        async with asyncio.timeout(20):
            await story(batcher)
        assert batcher.num_waiting == 0

    with ThreadPoolExecutor(1) as executor:
        asyncio.run(told(executor))
    assert complaints == []


def test_answers_come_in_the_order_of_the_inputs() -> None:
    model = Model()

    async def story(batcher: Batcher) -> None:
        mixed = [{"name": str(length), "input_ids": [0] * length} for length in (1, 50, 2, 40, 3, 30)]
        assert _names(await batcher.submit(mixed)) == ["1", "50", "2", "40", "3", "30"]
        assert await batcher.submit([]) == []

    _run(model, story, max_size=2)
    assert model.batches == [["1", "2"], ["50", "40"], ["3", "30"]]


def test_requests_share_batches_while_the_model_is_busy() -> None:
    model = Model(is_held=True)

    async def story(batcher: Batcher) -> None:
        first = asyncio.create_task(batcher.submit(_samples("a")))
        await model.has_begun()
        others = [asyncio.create_task(batcher.submit(_samples(f"{n}x", f"{n}y"))) for n in range(3)]
        await asyncio.sleep(0)
        assert batcher.num_waiting == 6
        model.go.release(3)
        assert _names(await first) == ["a"]
        assert [_names(await other) for other in others] == [["0x", "0y"], ["1x", "1y"], ["2x", "2y"]]

    _run(model, story)
    assert model.batches == [["a"], ["0x", "0y", "1x", "1y"], ["2x", "2y"]]


def test_each_batch_is_observed() -> None:
    model = Model()

    async def story(batcher: Batcher) -> None:
        await batcher.submit([*_samples("a", length=3), *_samples("b", length=5)])

    _run(model, story)
    (facts,) = model.observed
    assert (facts["num_inputs"], facts["num_tokens"], facts["num_padded"]) == (2, 8, 10)
    assert facts["model_s"] > 0
    assert len(facts["waited_s"]) == 2
    assert min(facts["waited_s"]) >= 0


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        pytest.param(ValueError("bad"), ValueError, id="error"),
        pytest.param(StopIteration(), RuntimeError, id="stop-iteration-that-no-future-can-hold"),
    ],
)
def test_an_error_reaches_all_callers_of_its_batch_and_no_others(error: Exception, expected: type[Exception]) -> None:
    model = Model(is_held=True, errors={"bad": error})

    async def story(batcher: Batcher) -> None:
        first = asyncio.create_task(batcher.submit(_samples("a")))
        await model.has_begun()
        beside = asyncio.create_task(batcher.submit(_samples("b", "bad", length=4)))
        neighbour = asyncio.create_task(batcher.submit(_samples("c", "d")))
        later = asyncio.create_task(batcher.submit(_samples("e")))
        await asyncio.sleep(0)
        model.go.release(3)
        results = await asyncio.gather(first, beside, neighbour, later, return_exceptions=True)
        assert [type(result) for result in results] == [list, expected, expected, list]
        assert _names(await batcher.submit(_samples("f"))) == ["f"]

    model.go.release()
    _run(model, story)
    assert model.batches == [["a"], ["b", "bad", "c", "d"], ["e"], ["f"]]


def test_a_request_that_failed_leaves_nothing_in_the_queue() -> None:
    model = Model(is_held=True, errors={"bad": ValueError("bad")})

    async def story(batcher: Batcher) -> None:
        request = asyncio.create_task(batcher.submit(_samples("bad", "next", "never")))
        await model.has_begun()
        other = asyncio.create_task(batcher.submit(_samples("b")))
        await asyncio.sleep(0)
        model.go.release(3)
        with pytest.raises(ValueError, match="bad"):
            await request
        assert _names(await other) == ["b"]

    _run(model, story, max_size=1)
    assert model.batches == [["bad"], ["next"], ["b"]]


@pytest.mark.parametrize(
    ("answers", "message"), [([], "gave 0 answers to 2 inputs"), ([{}, {}, {}], "gave 3 answers to 2 inputs")]
)
def test_a_wrong_number_of_answers_is_an_error(answers: list[Answer], message: str) -> None:
    async def story() -> None:
        batcher = Batcher(
            lambda samples: answers,
            executor=executor,
            max_size=4,
            max_tokens=100,
            max_padding=1.0,
            max_wait_s=0,
            **QUEUE,
            observe=Model().observe,
        )
        with pytest.raises(RuntimeError, match=message):
            await asyncio.wait_for(batcher.submit(_samples("a", "b")), timeout=20)

    with ThreadPoolExecutor(1) as executor:
        asyncio.run(story())


def test_an_error_of_the_observer_leaves_nobody_waiting() -> None:
    def observe(**facts: Any) -> None:
        raise KeyError("model")

    async def story(batcher: Batcher) -> None:
        for _ in range(2):
            with pytest.raises(KeyError):
                await batcher.submit(_samples("a"))

    _run(Model(), story, observe=observe)


def test_what_does_not_fit_in_the_queue_is_refused_whole() -> None:
    model = Model(is_held=True)

    async def story(batcher: Batcher) -> None:
        first = asyncio.create_task(batcher.submit(_samples("a")))
        await model.has_begun()
        waiting = asyncio.create_task(batcher.submit(_samples("b", "c")))
        await asyncio.sleep(0)
        with pytest.raises(Overloaded, match="too many inputs wait, try again in 1 s") as raised:
            await batcher.submit(_samples("d", "e"))
        assert raised.value.retry_after_s == 1.0
        assert batcher.num_waiting == 2
        fits = asyncio.create_task(batcher.submit(_samples("f")))
        await asyncio.sleep(0)
        model.go.release(2)
        await asyncio.gather(first, waiting, fits)

    _run(model, story, max_queue=3)
    assert model.batches == [["a"], ["b", "c", "f"]]


@pytest.mark.parametrize(("max_queue_s", "is_taken"), [(60.0, True), (0.0, False)], ids=["soon", "too-late"])
def test_what_would_wait_too_long_is_refused(max_queue_s: float, is_taken: bool) -> None:
    model = Model(is_held=True)

    async def story(batcher: Batcher) -> None:
        first = asyncio.create_task(batcher.submit(_samples("a")))
        await model.has_begun()
        waiting = [asyncio.create_task(batcher.submit(_samples(name))) for name in "bc"]
        await asyncio.sleep(0)
        model.go.release(2)
        results = await asyncio.gather(first, *waiting, return_exceptions=True)
        assert [isinstance(result, Overloaded) for result in results] == [False, False, not is_taken]

    _run(model, story, max_queue_s=max_queue_s)


def test_who_comes_waits_no_less_than_the_first_has_waited_already() -> None:
    model = Model(is_held=True)

    async def story(batcher: Batcher) -> None:
        first = asyncio.create_task(batcher.submit(_samples("a")))
        await model.has_begun()
        waiting = asyncio.create_task(batcher.submit(_samples("b")))
        await asyncio.sleep(0)
        soon = batcher.refusal_s()
        await asyncio.sleep(0.06)
        late = batcher.refusal_s()
        model.go.release(2)
        await asyncio.gather(first, waiting)
        assert (soon, late, batcher.refusal_s()) == (None, 1.0, None)

    _run(model, story, max_queue_s=0.05)


def test_a_request_larger_than_the_queue_is_taken_where_nobody_waits() -> None:
    model = Model()

    async def story(batcher: Batcher) -> None:
        assert _names(await batcher.submit(_samples(*"abcdef"))) == list("abcdef")

    _run(model, story, max_queue=2)
    assert model.batches == [list("abcd"), list("ef")]


def test_who_gives_up_leaves_the_queue_at_once() -> None:
    model = Model(is_held=True)

    async def story(batcher: Batcher) -> None:
        first = asyncio.create_task(batcher.submit(_samples("a")))
        await model.has_begun()
        leaving = asyncio.create_task(batcher.submit(_samples("b", "c")))
        await asyncio.sleep(0)
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        assert batcher.num_waiting == 0  # the place is free while the model is still busy
        taken = asyncio.create_task(batcher.submit(_samples("d", "e")))
        await asyncio.sleep(0)
        model.go.release(2)
        assert _names(await first) == ["a"]
        assert _names(await taken) == ["d", "e"]

    _run(model, story, max_queue=2)
    assert model.batches == [["a"], ["d", "e"]]


@pytest.mark.parametrize("error", [None, ValueError("bad")], ids=["answer", "error"])
def test_who_gives_up_while_the_model_answers_disturbs_nobody(error: Exception | None) -> None:
    model = Model(is_held=True, errors={} if error is None else {"b": error})

    async def story(batcher: Batcher) -> None:
        leaving, staying = (asyncio.create_task(batcher.submit(_samples(name))) for name in "ab")
        await model.has_begun()
        leaving.cancel()
        await asyncio.sleep(0)
        model.go.release()
        (result,) = await asyncio.gather(staying, return_exceptions=True)
        assert result == error or result == [{"name": "b"}]
        assert leaving.cancelled()

    _run(model, story)
    assert model.batches == [["a", "b"]]


@pytest.mark.parametrize(
    ("max_size", "expected"),
    [
        pytest.param(8, [["a", "b"]], id="company-came"),
        pytest.param(2, [["a", "b"]], id="a-full-batch-waits-no-longer"),
        pytest.param(1, [["a"], ["b"]], id="full-from-the-start"),
    ],
)
def test_an_idle_model_waits_for_company(max_size: int, expected: list[list[str]]) -> None:
    model = Model()

    async def story(batcher: Batcher) -> None:
        began = asyncio.get_running_loop().time()
        first = asyncio.create_task(batcher.submit(_samples("a")))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        second = asyncio.create_task(batcher.submit(_samples("b")))
        await asyncio.gather(first, second)
        assert (asyncio.get_running_loop().time() - began >= 0.3) == (max_size == 8)

    _run(model, story, max_size=max_size, max_wait_s=0.3)
    assert model.batches == expected


def test_without_a_wait_the_first_goes_alone() -> None:
    model = Model(is_held=True)

    async def story(batcher: Batcher) -> None:
        first = asyncio.create_task(batcher.submit(_samples("a")))
        await model.has_begun()
        second = asyncio.create_task(batcher.submit(_samples("b")))
        await asyncio.sleep(0)
        model.go.release(2)
        await asyncio.gather(first, second)

    _run(model, story)
    assert model.batches == [["a"], ["b"]]


def test_an_executor_that_takes_nothing_is_an_error() -> None:
    executor = ThreadPoolExecutor(1)
    executor.shutdown()

    async def story(batcher: Batcher) -> None:
        with pytest.raises(RuntimeError, match="after shutdown"):
            await batcher.submit(_samples("a"))

    _run(Model(), story, executor=executor)


def test_nobody_waits_for_an_executor_that_was_shut_down() -> None:
    model, executor = Model(), ThreadPoolExecutor(1)
    release = threading.Event()
    executor.submit(release.wait, 20)

    async def story(batcher: Batcher) -> None:
        in_batch, waiting = (asyncio.create_task(batcher.submit(_samples(name))) for name in "ab")
        for _ in range(3):
            await asyncio.sleep(0)
        executor.shutdown(wait=False, cancel_futures=True)
        results = await asyncio.gather(in_batch, waiting, return_exceptions=True)
        assert [type(result) for result in results] == [asyncio.CancelledError] * 2
        release.set()

    _run(model, story, max_size=1, executor=executor)
    assert model.batches == []
