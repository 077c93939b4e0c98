"""What becomes of a sweep whose search does not come to its end."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from eagleray.errors import EaglerayError, TrainingError
from eagleray.store import lease, paths, runs, sweeps
from eagleray.store.objects import Objects, open_storage
from eagleray.store.renewal import renewed
from eagleray.store.runs import ProgressRecord, RunRecord
from eagleray.train.resources import WorkerShape
from eagleray.tune.board import Board
from eagleray.tune.driver import AT_ONCE_S, ENDING_S, Driver, Setup
from eagleray.tune.life import Shared
from tests.support import records, sweep_documents
from tests.support.sweep_boards import PLAN
from tests.support.sweep_events import OBJECTIVES

RUN = "films-0001"
TUNE_SAYS = """\
Traceback (most recent call last):
  File "tune_controller.py", line 1226, in on_error
    on_result(trial)
KeyError: 'trial'
"""


class Looker:
    """An observer who keeps the warnings."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def say(self, message: str) -> None: ...

    def warn(self, message: str) -> None:
        self.warnings.append(message)

    def preparing(self, stage: str, count: int) -> None: ...

    def data(self, report: object) -> None: ...

    def created(self, record: RunRecord) -> None: ...

    def progress(self, progress: ProgressRecord) -> None: ...

    def event(self, event: object) -> None: ...

    def sweep(self, sweep: sweeps.Sweep, going: frozenset[int]) -> None: ...


class Failing:
    """A search that fails at the first look."""

    def __init__(self, error: BaseException) -> None:
        self._error = error
        self.board: Board | None = None
        self.waited: list[tuple[float, bool]] = []  # for how long, and whether it knew that it is to end

    def __call__(self, board: Board) -> Failing:
        self.board = board
        return self

    def has_ended(self, within_s: float) -> bool:
        """See driver.Searching."""
        raise self._error

    def wait(self, within_s: float) -> None:
        """See driver.Searching."""
        assert self.board is not None
        self.waited.append((within_s, self.board.is_abandoned))


@pytest.fixture
def objects() -> Objects:
    return open_storage("memory://")


@pytest.fixture
def driver(objects: Objects) -> Iterator[Driver]:
    document = sweep_documents.loaded(search="{type: random}")
    spec = document.spec.sweep
    assert spec is not None
    record = records.new_run(objects, "films", kind=sweeps.KIND)
    facts = {"total_steps": 9, "num_devices": 1.0, "device": "CPU", "objectives": OBJECTIVES, "constraints": ()}
    setup = Setup(spec, (), 9, PLAN, (), facts)
    shared = Shared(
        document=document,
        storage="memory://",
        cache_dir="",
        lock=records.LOCK,
        num_workers=1,
        shape=WorkerShape(num_cpus=1, num_gpus=0),
        plan=PLAN,
    )
    taken = lease.take(objects, record.run, lease.this_process(), now=lambda: records.NOW, on_wait=print)
    with renewed(objects, record.run, taken, on_trouble=print) as held:
        yield Driver(objects, document, setup, shared, run=record.run, held=held, observer=Looker())


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        pytest.param(ValueError("no such metric\nand more"), "ValueError: no such metric", id="a-fault"),
        pytest.param(RuntimeError(TUNE_SAYS), "KeyError: 'trial'", id="a-traceback-that-tune-made-a-text-of"),
        pytest.param(RuntimeError(), "RuntimeError", id="without-a-word"),
    ],
)
def test_an_unforeseen_error_is_one_of_ours_and_written_down(
    driver: Driver, objects: Objects, error: Exception, cause: str
) -> None:
    with pytest.raises(TrainingError) as raised:
        driver.drive(Failing(error))

    place = f"{paths.failure(RUN, 1, 0)}.txt"
    first, last = str(raised.value).splitlines()
    assert first == f"{RUN}: the search failed: {cause}"
    assert last.endswith(place)
    assert raised.value.__cause__ is error
    assert type(error).__name__ in objects.read(place).decode()
    record = runs.read(objects, RUN)
    assert (record.phase, record.error) == ("failed", str(raised.value))


def test_an_error_of_ours_is_written_down_as_it_is(driver: Driver, objects: Objects) -> None:
    error = EaglerayError("no")

    with pytest.raises(EaglerayError) as raised:
        driver.drive(Failing(error))

    assert raised.value is error
    record = runs.read(objects, RUN)
    assert (record.phase, record.error) == ("failed", "no")


@pytest.mark.parametrize(
    ("error", "within_s"),
    [
        pytest.param(EaglerayError("no"), ENDING_S, id="failed"),
        pytest.param(KeyboardInterrupt(), AT_ONCE_S, id="a-second-ctrl-c"),
    ],
)
def test_a_search_that_is_given_up_may_end(driver: Driver, error: BaseException, within_s: float) -> None:
    searching = Failing(error)

    with pytest.raises(EaglerayError):
        driver.drive(searching)

    assert searching.waited == [(within_s, True)]


def test_a_driver_that_lost_the_sweep_leaves_its_record_alone(driver: Driver, objects: Objects) -> None:
    lost = lease.LeaseLost("another's")

    with pytest.raises(lease.LeaseLost):
        driver.drive(Failing(lost))

    assert runs.read(objects, RUN).phase == "running"
