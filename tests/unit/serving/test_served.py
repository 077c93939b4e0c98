"""While one version takes the place of another every request is answered, and what the new one does is counted."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from eagleray.errors import ModelSourceError
from eagleray.serving.batching import Overloaded
from eagleray.serving.follow import Desired
from eagleray.serving.problems import Problem, ProblemError, overloaded, too_long
from eagleray.serving.served import Served
from eagleray.serving.traffic import TrafficLog
from eagleray.serving.versions import Hosted

ROW = {"text": "a"}


@dataclass(eq=False)
class Model:
    """A version in memory that answers with its number."""

    version: int
    max_length: int = 8
    error: Exception | None = None
    answers: dict[str, Any] | None = None
    gate: asyncio.Event | None = None
    num_answered: int = 0
    is_closed: bool = False

    async def answer(self, samples: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        assert not self.is_closed
        if self.gate is not None:
            await self.gate.wait()
        assert not self.is_closed, "closed while it answers"
        if self.error is not None:
            raise self.error
        self.num_answered += 1
        return [self.answers or {"label": f"v{self.version}"} for _ in samples]

    def refusal_s(self, num_inputs: int = 1) -> float | None:
        return None

    def check_lengths(self, samples: Sequence[Mapping[str, Any]], *, truncate: bool) -> None:
        for sample in samples:
            if sample["full_length"] > self.max_length and not truncate:
                raise ProblemError(too_long(sample["full_length"], self.max_length))

    def close(self) -> None:
        assert not self.is_closed, "closed twice"
        self.is_closed = True


@dataclass
class World:
    """Versions that can be loaded, and those of them that were."""

    models: dict[int, Model] = field(default_factory=lambda: {n: Model(n) for n in (1, 2, 3)})
    broken: dict[int, Exception] = field(default_factory=dict)  # versions that cannot be loaded
    gates: dict[int, asyncio.Event] = field(default_factory=dict)  # that loading waits for
    refused_columns: dict[int, str] = field(default_factory=dict)  # by version, the column that it cannot read
    loads: list[int] = field(default_factory=list)
    log: TrafficLog = field(default_factory=TrafficLog)

    def served(self) -> Served:
        return Served("demo", Desired(1), load=self._load, encode=self._encode, traffic=self.log)

    async def _load(self, version: int) -> Hosted:
        self.loads.append(version)
        if version in self.gates:
            await self.gates[version].wait()
        if version in self.broken:
            raise self.broken[version]
        return cast(Hosted, self.models[version])

    async def _encode(self, hosted: Hosted, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        await asyncio.sleep(0)
        missing = [row for row in rows if self.refused_columns.get(hosted.version) in row or "text" not in row]
        if missing:
            raise ValueError("column `text` is missing")
        return [{"input_ids": row["text"], "full_length": len(row["text"])} for row in rows]

    def traffic(self) -> dict[int, tuple[int, int]]:
        """Requests and errors by version, since the last call."""
        return {version: (t.num_requests, t.num_errors) for (_, version), t in self.log.drain().items()}


def _run(story: Callable[[World], Awaitable[None]], world: World | None = None) -> None:
    complaints: list[dict[str, Any]] = []

    async def told() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
        async with asyncio.timeout(20):
            await story(world or World())

    asyncio.run(told())
    assert complaints == []


async def _settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def _ask(served: Served, request_id: str = "r", *, truncate: bool = False, **row: str) -> int:
    """The version that answers."""
    prediction = await served.predict([row or ROW], truncate=truncate, request_id=request_id)
    assert prediction.model == "demo"
    assert [output["label"] for output in prediction.outputs] == [f"v{prediction.version}"]
    return prediction.version or 0


async def _with_candidate(world: World, share: float = 1.0, *, has_shadow: bool = False) -> Served:
    """Version 1 is stable and version 2 in memory beside it."""
    served = world.served()
    await served.stable()
    served.follow(Desired(1, 2, share=share, has_shadow=has_shadow))
    await _settle()
    assert served.loaded == {1, 2}
    return served


# shares


@pytest.mark.parametrize("share", [0.0, 0.01, 0.1, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("form", ["{}", "req-{:08d}", "{:032x}"])
def test_the_share_is_by_the_id_and_near_what_is_asked_for(share: float, form: str) -> None:
    async def story(world: World) -> None:
        served = await _with_candidate(world, share)
        stable = await served.stable()
        ids = [form.format(number * 7919) for number in range(10_000)]
        found = [served._chosen(stable, request_id).version for request_id in ids]
        assert found == [served._chosen(stable, request_id).version for request_id in ids]
        assert found.count(2) / 10_000 == pytest.approx(share, abs=0.02 if 0 < share < 1 else 0)

    _run(story)


def test_a_larger_share_takes_nobody_away_from_the_candidate() -> None:
    async def story(world: World) -> None:
        served, found = await _with_candidate(world), []
        for share in (0.1, 0.5, 1.0):
            served.follow(Desired(1, 2, share=share))
            found.append({n for n in range(200) if await _ask(served, f"r{n}") == 2})
        assert found[0] < found[1] < found[2]

    _run(story)


def test_a_candidate_that_is_not_loaded_gets_no_request() -> None:
    async def story(world: World) -> None:
        world.gates[2] = asyncio.Event()
        served = world.served()
        await served.stable()
        served.follow(Desired(1, 2, share=1.0))
        assert await _ask(served) == 1
        world.gates[2].set()
        await _settle()
        assert await _ask(served) == 2

    _run(story)


# what the candidate cannot do


def test_an_error_of_the_candidate_is_counted_and_answered_by_the_stable_version() -> None:
    async def story(world: World) -> None:
        served = await _with_candidate(world)
        world.models[2].error = RuntimeError("no")
        assert await _ask(served) == 1
        assert world.traffic() == {1: (1, 0), 2: (1, 1)}

    _run(story)


def test_an_error_of_the_stable_version_is_counted_and_raised() -> None:
    async def story(world: World) -> None:
        served = world.served()
        world.models[1].error = RuntimeError("no")
        with pytest.raises(RuntimeError, match="no"):
            await _ask(served)
        assert world.traffic() == {1: (1, 1)}

    _run(story)


@pytest.mark.parametrize(
    ("row", "status"),
    [pytest.param({"tetx": "a"}, 422, id="wrong-column"), pytest.param({"text": "a" * 9}, 422, id="too-long")],
)
@pytest.mark.parametrize("share", [0.0, 1.0], ids=["stable", "candidate"])
def test_a_bad_row_is_nobodys_error(row: dict[str, str], status: int, share: float) -> None:
    async def story(world: World) -> None:
        served = await _with_candidate(world, share)
        with pytest.raises(ProblemError) as raised:
            await _ask(served, **row)
        assert raised.value.problem.status == status
        assert world.traffic() == {}

    _run(story)


def test_a_problem_says_what_is_wrong_with_the_row() -> None:
    async def story(world: World) -> None:
        with pytest.raises(ProblemError) as raised:
            await _ask(world.served(), tetx="a")
        assert raised.value.problem.extras["errors"] == [{"place": "inputs", "message": "column `text` is missing"}]

    _run(story)


@pytest.mark.parametrize("fault", ["shorter", "other-columns"])
def test_what_only_the_candidate_refuses_is_its_error(fault: str) -> None:
    async def story(world: World) -> None:
        served = await _with_candidate(world)
        if fault == "shorter":
            world.models[2].max_length = 0
        else:
            world.refused_columns[2] = "text"
        assert await _ask(served) == 1
        assert world.traffic() == {1: (1, 0), 2: (1, 1)}

    _run(story)


def test_what_may_be_cut_is_no_error() -> None:
    async def story(world: World) -> None:
        served = await _with_candidate(world)
        assert await _ask(served, text="a" * 9, truncate=True) == 2
        assert world.traffic() == {2: (1, 0)}

    _run(story)


@pytest.mark.parametrize("share", [0.0, 1.0], ids=["stable", "candidate"])
def test_who_is_overloaded_says_so_and_is_not_blamed(share: float) -> None:
    async def story(world: World) -> None:
        served = await _with_candidate(world, share)
        for model in world.models.values():
            model.error = Overloaded(3.2)
        with pytest.raises(ProblemError) as raised:
            await _ask(served)
        assert (raised.value.problem.status, raised.value.problem.headers["Retry-After"]) == (429, "4")
        assert world.traffic() == {}

    _run(story)


def test_an_answer_that_nobody_waited_for_took_at_least_so_long() -> None:
    """A version that hangs must not look as if nobody had asked it."""

    async def story(world: World) -> None:
        served = await _with_candidate(world)
        world.models[2].gate = asyncio.Event()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await _ask(served)
        ((key, traffic),) = world.log.drain().items()
        assert key == ("demo", 2)
        assert (traffic.num_requests, traffic.num_errors) == (1, 0)
        assert traffic.latencies_s[0] >= 0.04

    _run(story)


# loading


def test_two_callers_share_one_load() -> None:
    async def story(world: World) -> None:
        world.gates[1] = asyncio.Event()
        served = world.served()
        assert not served.is_resident
        callers = [asyncio.create_task(_ask(served)) for _ in range(3)]
        await _settle()
        assert (served.is_resident, served.loaded) == (True, frozenset())
        callers.pop().cancel()  # the load is not this caller's alone
        await _settle()
        world.gates[1].set()
        assert [await caller for caller in callers] == [1, 1]
        assert await _ask(served) == 1
        assert world.loads == [1]

    _run(story)


def test_all_callers_learn_that_it_cannot_be_loaded_and_the_next_tries_again() -> None:
    async def story(world: World) -> None:
        world.broken[1] = ModelSourceError("the storage is away")
        served = world.served()
        results = await asyncio.gather(*(_ask(served) for _ in range(2)), return_exceptions=True)
        problems = [error.problem for error in results if isinstance(error, ProblemError)]
        assert [problem.status for problem in problems] == [503, 503]
        assert "Retry-After" in problems[0].headers
        assert "storage" not in problems[0].detail, "what is inside is for the log"
        assert served.refusals == {1: "the storage is away"}
        assert not served.is_resident
        del world.broken[1]
        assert await _ask(served) == 1
        assert served.refusals == {}
        assert world.loads == [1, 1]

    _run(story)


def test_what_could_not_be_loaded_is_not_worth_another_place_at_once() -> None:
    async def story(world: World) -> None:
        world.broken[1] = RuntimeError("damaged in a way that nobody foresaw")
        served = world.served()
        served.check_worth_loading()
        with pytest.raises(ProblemError):
            await _ask(served)
        with pytest.raises(ProblemError) as raised:
            served.check_worth_loading()
        assert raised.value.problem.status == 503
        assert 0 < int(raised.value.problem.headers["Retry-After"]) <= 10

    _run(story)


def test_a_candidate_that_cannot_be_loaded_is_told_of_and_tried_once() -> None:
    async def story(world: World) -> None:
        world.broken[2] = ModelSourceError("damaged")
        served = world.served()
        await served.stable()
        for _ in range(3):
            served.follow(Desired(1, 2, share=1.0))
            await _settle()
            assert await _ask(served) == 1
        assert served.refusals == {2: "damaged"}
        assert (world.loads, world.traffic()) == ([1, 2], {1: (3, 0)})
        served.follow(Desired(1))
        assert served.refusals == {}  # promoted again, it is tried again

    _run(story)


# following


@pytest.mark.parametrize(
    ("desired", "loaded"),
    [
        pytest.param(Desired(1), {1}, id="rolled-back"),
        pytest.param(Desired(2), {2}, id="took-over"),
        pytest.param(Desired(1, 2, share=0.5), {1, 2}, id="next-step"),
        pytest.param(Desired(1, 3), {1, 3}, id="another-candidate"),
        pytest.param(Desired(2, 3), {2, 3}, id="took-over-and-the-next-one-comes"),
    ],
)
def test_versions_that_nobody_wants_go(desired: Desired, loaded: set[int]) -> None:
    async def story(world: World) -> None:
        served = await _with_candidate(world)
        served.follow(desired)
        await _settle()
        assert served.loaded == loaded
        assert {n for n in (1, 2) if world.models[n].is_closed} == {1, 2} - loaded
        assert world.loads == [1, 2, 3][: 3 if 3 in loaded else 2]

    _run(story)


def test_a_model_that_is_not_in_memory_stays_out_of_it() -> None:
    async def story(world: World) -> None:
        served = world.served()
        served.follow(Desired(1, 2))
        await _settle()
        assert (world.loads, served.is_resident) == ([], False)
        assert await _ask(served) == 1
        served.follow(Desired(1, 2))
        await _settle()
        assert served.loaded == {1, 2}

    _run(story)


def test_until_a_new_stable_version_is_loaded_the_one_before_answers() -> None:
    """A replica that came during the rollout has not loaded the candidate when that takes over."""

    async def story(world: World) -> None:
        world.gates[2] = asyncio.Event()
        served = world.served()
        await served.stable()
        for _ in range(2):
            served.follow(Desired(2))
            assert await _ask(served) == 1
        world.gates[2].set()
        await _settle()
        assert await _ask(served) == 2
        served.follow(Desired(2))
        assert (served.loaded, world.models[1].is_closed) == ({2}, True)

    _run(story)


def test_where_a_new_stable_version_cannot_be_loaded_the_one_before_goes_on() -> None:
    async def story(world: World) -> None:
        world.broken[2] = ModelSourceError("damaged")
        served = world.served()
        await served.stable()
        for _ in range(3):
            served.follow(Desired(2))
            await _settle()
            assert await _ask(served) == 1
        assert (served.refusals, world.loads) == ({2: "damaged"}, [1, 2])
        served.follow(Desired(3))
        await _settle()
        assert await _ask(served) == 3
        served.follow(Desired(3))
        assert (served.loaded, world.models[1].is_closed) == ({3}, True)

    _run(story)


@pytest.mark.parametrize("leaves", ["follow", "release"])
def test_a_version_is_closed_after_its_last_request(leaves: str) -> None:
    async def story(world: World) -> None:
        served = await _with_candidate(world, share=0.0)
        world.models[1].gate = asyncio.Event()
        requests = [asyncio.create_task(_ask(served)) for _ in range(2)]
        await _settle()
        if leaves == "follow":
            served.follow(Desired(2))
        else:
            served.release()
        assert (1 in served.loaded, world.models[1].is_closed) == (False, False)
        world.models[1].gate.set()
        assert [await request for request in requests] == [1, 1]
        assert world.models[1].is_closed

    _run(story)


def test_what_left_memory_is_loaded_by_the_next_request() -> None:
    async def story(world: World) -> None:
        served = world.served()
        assert await _ask(served) == 1
        served.release()
        assert (served.is_resident, world.models[1].is_closed) == (False, True)
        world.models[1] = Model(1)
        assert await _ask(served) == 1
        assert world.loads == [1, 1]

    _run(story)


def test_every_use_counts_as_one() -> None:
    """The model that was not asked for longest leaves memory first: streams ask for the stable version alone."""

    async def story(world: World) -> None:
        served = world.served()
        for use in (lambda: _ask(served), served.stable):
            served.used_at = 0.0
            await use()
            assert served.used_at > 0.0

    _run(story)


# answers in pieces


def _begin(world: World, *, fails_at: int | None = None) -> Callable[[Hosted], Awaitable[AsyncGenerator[str, None]]]:
    """Two pieces that name the version; those of version 2 break off before the piece `fails_at`."""

    async def begin(hosted: Hosted) -> AsyncGenerator[str, None]:
        return pieces(cast(Model, hosted))

    async def pieces(model: Model) -> AsyncGenerator[str, None]:
        for number in range(2):
            if model.version == 2 and number == fails_at:
                raise RuntimeError("the model failed")
            await asyncio.sleep(0)
            assert not model.is_closed, "closed while it answers"
            yield f"v{model.version}"

    return begin


def _refusing(problem: Problem, versions: set[int]) -> Callable[[Hosted], Awaitable[AsyncGenerator[str, None]]]:
    async def begin(hosted: Hosted) -> AsyncGenerator[str, None]:
        if hosted.version in versions:
            raise ProblemError(problem)
        return await _begin(World())(hosted)

    return begin


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_the_candidate_writes_its_share(share: float) -> None:
    async def story(world: World) -> None:
        served = await _with_candidate(world, share)
        for number in range(50):
            pieces = [piece async for piece in await served.write(_begin(world), request_id=f"r{number}")]
            assert pieces == [f"v{await _ask(served, f'r{number}')}"] * 2
        asked = {version: seen for version, (seen, errors) in world.traffic().items() if not errors}
        assert sum(asked.values()) == 100
        assert all(count % 2 == 0 for count in asked.values()), "both kinds of request are counted"
        assert set(asked) == {0.0: {1}, 0.3: {1, 2}, 1.0: {2}}[share]

    _run(story)


def test_what_the_candidate_cannot_begin_the_stable_version_writes() -> None:
    async def story(world: World) -> None:
        served = await _with_candidate(world)
        assert [piece async for piece in await served.write(_begin(world, fails_at=0), request_id="r")] == ["v1", "v1"]
        assert world.traffic() == {1: (1, 0), 2: (1, 1)}

    _run(story)


def test_an_answer_that_breaks_off_is_counted_and_not_begun_again() -> None:
    async def story(world: World) -> None:
        served = await _with_candidate(world)
        written, pieces = await served.write(_begin(world, fails_at=1), request_id="r"), []
        with pytest.raises(RuntimeError, match="the model failed"):
            async for piece in written:
                pieces.append(piece)
        assert (pieces, world.traffic()) == (["v2"], {2: (1, 1)})

    _run(story)


@pytest.mark.parametrize(
    ("problem", "versions", "expected"),
    [
        pytest.param(too_long(9, 8), {1, 2}, {}, id="too-long"),
        pytest.param(too_long(9, 8), {2}, {1: (1, 0), 2: (1, 1)}, id="too-long-for-the-candidate"),
        pytest.param(overloaded(1.0), {1, 2}, {}, id="busy"),
        pytest.param(overloaded(1.0), {2}, {}, id="candidate-busy"),
    ],
)
def test_a_text_that_is_refused(problem: Problem, versions: set[int], expected: dict[int, tuple[int, int]]) -> None:
    async def story(world: World) -> None:
        served = await _with_candidate(world)
        if expected:
            assert [piece async for piece in await served.write(_refusing(problem, versions), request_id="r")]
        else:
            with pytest.raises(ProblemError) as raised:
                await served.write(_refusing(problem, versions), request_id="r")
            assert raised.value.problem == problem
        assert world.traffic() == expected

    _run(story)


@pytest.mark.parametrize("end", ["read", "closed", "dropped"])
def test_a_version_is_in_use_until_its_last_piece(end: str) -> None:
    async def story(world: World) -> None:
        served = await _with_candidate(world, share=0.0)
        written = await served.write(_begin(world), request_id="r")
        served.follow(Desired(2))
        assert (served.loaded, world.models[1].is_closed) == ({2}, False)
        match end:
            case "read":
                assert [piece async for piece in written] == ["v1", "v1"]
            case "closed":
                assert await anext(written) == "v1"
                await written.aclose()
            case "dropped":  # by a client that left before the answer could begin
                del written
                gc.collect()
                await _settle()
        assert world.models[1].is_closed
        assert world.traffic() == {1: (1, 0)}

    _run(story)


# copies


def test_copies_are_compared_behind_the_callers_back() -> None:
    async def story(world: World) -> None:
        served = await _with_candidate(world, share=0.0, has_shadow=True)
        world.models[2].gate = asyncio.Event()
        assert [await _ask(served, f"r{n}") for n in range(3)] == [1, 1, 1]
        assert world.traffic() == {1: (3, 0)}
        world.models[2].gate.set()
        await _settle()
        ((key, traffic),) = world.log.drain().items()
        assert (key, traffic.num_requests, traffic.num_compared, traffic.num_different) == (("demo", 2), 3, 3, 3)
        world.models[2].answers = {"label": "v1"}
        await _ask(served)
        await _settle()
        traffic = world.log.drain()["demo", 2]
        assert (traffic.num_compared, traffic.num_different) == (1, 0)

    _run(story)


def test_copies_are_bounded() -> None:
    async def story(world: World) -> None:
        served = await _with_candidate(world, share=0.0, has_shadow=True)
        world.models[2].gate = asyncio.Event()
        for number in range(20):
            await _ask(served, f"r{number}")
        await _settle()
        world.models[2].gate.set()
        await _settle()
        assert world.log.drain()["demo", 2].num_compared == 8
        await _ask(served)
        await _settle()
        assert world.log.drain()["demo", 2].num_compared == 1

    _run(story)


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        pytest.param({"error": RuntimeError("no")}, (1, 1), id="error"),
        pytest.param({"max_length": 0}, (1, 1), id="refusal"),
        pytest.param({"error": Overloaded(1.0)}, None, id="overloaded"),
        pytest.param({"answers": {"value": 1.0}}, (1, 0), id="another-kind-of-answer"),
    ],
)
def test_copies_that_fail_are_counted_and_harm_nobody(fault: dict[str, Any], expected: tuple[int, int] | None) -> None:
    async def story(world: World) -> None:
        served = await _with_candidate(world, share=0.0, has_shadow=True)
        for name, value in fault.items():
            setattr(world.models[2], name, value)
        assert await _ask(served) == 1
        await _settle()
        assert world.traffic().get(2) == expected

    _run(story)


@pytest.mark.parametrize("desired", [Desired(1, 2), Desired(1)], ids=["no-shadow", "no-candidate"])
def test_nothing_is_copied_where_nobody_asked_for_it(desired: Desired) -> None:
    async def story(world: World) -> None:
        served = await _with_candidate(world)
        served.follow(desired)
        await _ask(served)
        await _settle()
        assert world.traffic() == {1: (1, 0)}

    _run(story)
