"""One driver has the run, whoever was faster, asleep or dead; one that lost it is told so for ever."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from eagleray.errors import StorageError
from eagleray.store import lease, paths, records
from eagleray.store.lease import HeartbeatRecord, Holder, LeaseHeld, LeaseLost, LeaseRecord, this_process
from eagleray.store.objects import Objects
from eagleray.store.renewal import renewed
from tests.support.records import NOW

RUN = "a-0001"


def _holder(name: str, **changes: Any) -> Holder:
    """A process on another machine: nothing but its heartbeat says whether it lives."""
    fields = {"nonce": name, "host": name, "boot_id": "b", "pid": 7, "process_started_at": 1.0}
    return Holder.model_validate({**fields, **changes})


def _take(objects: Objects, holder: Holder, *, sleep: Callable[[float], None] | None = None) -> LeaseRecord:
    return lease.take(objects, RUN, holder, now=lambda: NOW, sleep=sleep or _no_sleep)


def _no_sleep(seconds: float) -> None:
    raise AssertionError("nothing has to be waited for")


def _beat(objects: Objects, number: int, count: int, *, is_released: bool = False) -> None:
    heartbeat = HeartbeatRecord(count=count, at=NOW, is_released=is_released)
    objects.put(paths.heartbeat(RUN, number), records.dump(heartbeat))


class Sleeps:
    """Notes the sleeps, and does something in the n-th of them."""

    def __init__(self, at: int = 0, action: Callable[[], object] = lambda: None) -> None:
        self.total_s = 0.0
        self._at, self._action = at, action

    def __call__(self, seconds: float) -> None:
        self.total_s += seconds
        if self.total_s == self._at:
            self._action()


def test_the_first_takes_number_one(objects: Objects) -> None:
    taken = _take(objects, _holder("a"))
    assert taken == LeaseRecord(number=1, holder=_holder("a"), taken_at=NOW)
    assert records.load(objects, paths.lease(RUN, 1), LeaseRecord) == taken
    lease.check(objects, RUN, 1)


def test_when_the_holder_was_heard(objects: Objects) -> None:
    assert lease.heard_at(objects, RUN) is None
    _take(objects, _holder("a"))
    assert lease.heard_at(objects, RUN) is None
    _beat(objects, 1, 1)
    assert lease.heard_at(objects, RUN) == NOW
    objects.put(paths.heartbeat(RUN, 1), b"{")
    assert lease.heard_at(objects, RUN) is None


# Taking over


def test_what_was_released_is_taken_at_once(objects: Objects) -> None:
    _take(objects, _holder("a"))
    _beat(objects, 1, 3, is_released=True)
    assert _take(objects, _holder("b")).number == 2


def test_what_is_renewed_is_refused_as_soon_as_that_shows(local: Objects) -> None:
    _take(local, _holder("a"))
    _beat(local, 1, 1)
    sleeps = Sleeps(4, lambda: _beat(local, 1, 2))
    with pytest.raises(
        LeaseHeld, match=r"run a-0001 is being driven by process 7 on a, which .* just now: wait for it, or stop it"
    ):
        _take(local, _holder("b"), sleep=sleeps)
    assert sleeps.total_s == 4
    assert [info.key for info in local.list(paths.leases(RUN))] == [paths.lease(RUN, 1)]


@pytest.mark.parametrize("num_beats", [0, 1], ids=["never-a-sign", "no-further-sign"])
def test_what_gives_no_sign_is_taken_after_half_a_minute(local: Objects, num_beats: int) -> None:
    _take(local, _holder("a"))
    for count in range(num_beats):
        _beat(local, 1, count)
    sleeps, told = Sleeps(), list[str]()
    taken = lease.take(local, RUN, _holder("b"), now=lambda: NOW, sleep=sleeps, on_wait=told.append)
    assert taken.number == 2
    assert sleeps.total_s == lease.DEAD_AFTER_S
    assert told == ["process 7 on a drove run a-0001 last: looking for 30 s whether it still does"]


@pytest.mark.parametrize(
    ("happens", "number"),
    [
        pytest.param(lambda objects: _beat(objects, 1, 2, is_released=True), 2, id="released-meanwhile"),
        pytest.param(lambda objects: objects.put(paths.heartbeat(RUN, 1), b"{"), None, id="a-sign-that-cannot-be-read"),
    ],
)
def test_while_it_is_watched(local: Objects, happens: Callable[[Objects], None], number: int | None) -> None:
    _take(local, _holder("a"))
    sleeps = Sleeps(3, lambda: happens(local))
    if number is None:
        with pytest.raises(LeaseHeld):
            _take(local, _holder("b"), sleep=sleeps)
    else:
        assert _take(local, _holder("b"), sleep=sleeps).number == number
    assert sleeps.total_s == 3


def test_a_dead_process_of_this_machine_is_not_waited_for(objects: Objects) -> None:
    child = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    _take(objects, this_process().model_copy(update={"pid": int(child.stdout)}))
    _beat(objects, 1, 5)
    assert _take(objects, this_process()).number == 2


def test_who_took_over_while_another_watched_has_it(local: Objects) -> None:
    _take(local, _holder("a"))
    sleeps = Sleeps(5, lambda: local.create(paths.lease(RUN, 2), records.dump(_record(2, "c"))))
    with pytest.raises(LeaseHeld, match="process 7 on c"):
        _take(local, _holder("b"), sleep=sleeps)


def _record(number: int, name: str) -> LeaseRecord:
    return LeaseRecord(number=number, holder=_holder(name), taken_at=NOW)


@pytest.fixture(params=["free", "released", "silent"])
def contested(request: pytest.FixtureRequest, objects: Objects) -> Objects:
    if request.param != "free":
        _take(objects, _holder("before"))
        _beat(objects, 1, 1, is_released=request.param == "released")
    return objects


def test_of_many_at_once_one_takes_it(contested: Objects) -> None:
    """Whoever comes too late for the race itself watches, and sees the winner's signs."""
    won: list[LeaseRecord] = []
    counts = iter(range(10**6))
    before = lease.newest_number(contested, RUN)

    def sleep(seconds: float) -> None:
        # By the storage and not by `won`: the winner's thread may not have come to that yet.
        number = lease.newest_number(contested, RUN)
        if number > before:
            _beat(contested, number, next(counts))

    def take(name: str) -> bool:
        try:
            won.append(_take(contested, _holder(name), sleep=sleep))
        except LeaseHeld:
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        results = list(threads.map(take, "abcdefgh"))
    assert sum(results) == len(won) == 1
    lease.check(contested, RUN, won[0].number)


# Answers that were lost


class Forgetful(Objects):
    """Creates, and says that it was there before: the request was sent twice."""

    def create(self, key: str, data: bytes) -> bool:
        super().create(key, data)
        return False


@pytest.fixture
def forgetful(objects: Objects) -> Objects:
    return Forgetful(objects.uri, objects._store)


def test_what_was_created_twice_is_ones_own(forgetful: Objects) -> None:
    first = _take(forgetful, _holder("a"))
    second = lease.succeed(forgetful, RUN, first, now=lambda: NOW)
    assert (first.number, second.number) == (1, 2)
    with pytest.raises(LeaseHeld):
        _take(forgetful, _holder("b"), sleep=Sleeps(1, lambda: _beat(forgetful, 2, 1)))


def test_both_can_be_tried_again(objects: Objects) -> None:
    first = _take(objects, _holder("a"))
    assert _take(objects, _holder("a")) == first
    second = lease.succeed(objects, RUN, first, now=lambda: NOW)
    assert lease.succeed(objects, RUN, first, now=lambda: NOW) == second
    assert _take(objects, _holder("a")) == second


def test_a_number_that_was_released_is_not_given_again(objects: Objects) -> None:
    _take(objects, _holder("a"))
    _beat(objects, 1, 1, is_released=True)
    assert _take(objects, _holder("a")).number == 2


# Losing it


def test_who_lost_it_is_told_who_has_it(objects: Objects) -> None:
    first = _take(objects, _holder("a"))
    _beat(objects, 1, 1, is_released=True)
    _take(objects, _holder("b"))
    told = r"run a-0001 is driven by process 7 on b now \(lease 2\): what had lease 1 must not write any more"
    with pytest.raises(LeaseLost, match=told):
        lease.check(objects, RUN, 1)
    with pytest.raises(LeaseLost, match=told):
        lease.succeed(objects, RUN, first, now=lambda: NOW)
    lease.check(objects, RUN, 2)


def test_an_attempt_before_is_fenced_by_the_next_of_the_same_driver(objects: Objects) -> None:
    first = _take(objects, _holder("a"))
    lease.succeed(objects, RUN, first, now=lambda: NOW)
    with pytest.raises(LeaseLost):
        lease.check(objects, RUN, 1)
    lease.check(objects, RUN, 2)


def test_who_succeeds_too_late_has_lost(local: Objects) -> None:
    """The other one takes it between the check and the creation."""
    first = _take(local, _holder("a"))

    class Late(Objects):
        def create(self, key: str, data: bytes) -> bool:
            local.create(key, records.dump(_record(2, "b")))
            return super().create(key, data)

    with pytest.raises(LeaseLost, match="process 7 on b"):
        lease.succeed(Late(local.uri, local._store), RUN, first, now=lambda: NOW)


def test_who_drives_a_deleted_run_is_told(objects: Objects) -> None:
    _take(objects, _holder("a"))
    objects.delete_folder(paths.run(RUN))
    with pytest.raises(LeaseLost, match="run a-0001 was deleted"):
        lease.check(objects, RUN, 1)


# Renewing it


def _heartbeat(objects: Objects, number: int) -> HeartbeatRecord:
    return records.load(objects, paths.heartbeat(RUN, number), HeartbeatRecord)


def test_a_renewed_lease_shows_signs_of_life_and_is_released(local: Objects) -> None:
    told: list[str] = []
    taken = _take(local, _holder("a"))
    with renewed(local, RUN, taken, on_trouble=told.append, now=lambda: NOW, every_s=0.001) as renewal:
        _until(lambda: _counted(local, 1) > 3)
        assert not _heartbeat(local, 1).is_released
        assert renewal.succeed().number == renewal.number == 2
        _until(lambda: _counted(local, 2) > 3)
    assert not _heartbeat(local, 1).is_released
    assert _heartbeat(local, 2).is_released
    assert told == []


def test_it_is_released_by_an_error_too(local: Objects) -> None:
    with (
        pytest.raises(KeyboardInterrupt),
        renewed(local, RUN, _take(local, _holder("a")), on_trouble=_fail),
    ):
        raise KeyboardInterrupt
    assert _heartbeat(local, 1).is_released


def test_a_lease_that_is_lost_is_not_renewed_nor_released(local: Objects) -> None:
    told: list[str] = []
    taken = _take(local, _holder("a"))
    with renewed(local, RUN, taken, on_trouble=told.append, every_s=0.001) as renewal:
        local.create(paths.lease(RUN, 2), records.dump(_record(2, "b")))
        assert renewal.lost.wait(10)
    assert told == ["run a-0001 is driven by process 7 on b now (lease 2): what had lease 1 must not write any more"]
    assert _counted(local, 1) == 0 or not _heartbeat(local, 1).is_released


def test_trouble_is_told_once_and_tried_again(local: Objects) -> None:
    assert local.local_path is not None
    away = local.local_path.with_name("away")
    told: list[str] = []
    with renewed(local, RUN, _take(local, _holder("a")), on_trouble=told.append, every_s=0.001) as renewal:
        _until(lambda: _counted(local, 1) > 0)
        local.local_path.rename(away)
        _until(lambda: len(told) > 0)
        assert not [renewal.beat() for _ in range(5)].count(False)
        away.rename(local.local_path)
        count = _counted(local, 1)
        _until(lambda: _counted(local, 1) > count)
    # It may have gone in the middle of a sign, whose error names something else than those after it.
    assert all("it is not there" in text for text in told)
    assert len(told) <= 2


def _counted(objects: Objects, number: int) -> int:
    try:
        return _heartbeat(objects, number).count
    except StorageError:
        return 0


def _fail(message: str) -> None:
    raise AssertionError(message)


def _until(condition: Callable[[], bool]) -> None:
    ended = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < ended
        threading.Event().wait(0.002)


# Real processes

_DRIVER = """
import sys
from datetime import UTC, datetime
from eagleray.store import lease
from eagleray.store.objects import open_storage
from eagleray.store.renewal import renewed
objects, run = open_storage(sys.argv[1]), sys.argv[2]
taken = lease.take(objects, run, lease.this_process(), now=lambda: datetime.now(UTC))
with renewed(objects, run, taken, on_trouble=print, every_s=0.05) as renewal:
    print(taken.number, flush=True)
    renewal.lost.wait()
"""


@pytest.fixture
def driver(local: Objects) -> Iterator[subprocess.Popen[str]]:
    arguments = [sys.executable, "-c", _DRIVER, local.uri, RUN]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "1\n"
        _until(lambda: _counted(local, 1) > 0)
        yield process
        process.kill()


def test_a_killed_driver_is_succeeded_at_once(local: Objects, driver: subprocess.Popen[str]) -> None:
    driver.kill()
    driver.wait()
    assert _take(local, this_process()).number == 2


def test_a_driver_that_slept_has_lost_for_good(local: Objects, driver: subprocess.Popen[str]) -> None:
    """SIGSTOP is what no process can notice, and a heartbeat in a thread of a fake could not show."""
    with pytest.raises(LeaseHeld):
        lease.take(local, RUN, this_process(), now=lambda: NOW, sleep=lambda _: time.sleep(0.3), dead_after_s=10)
    driver.send_signal(signal.SIGSTOP)
    time.sleep(0.1)  # a sign that it had begun is through
    taken = lease.take(local, RUN, this_process(), now=lambda: NOW, sleep=lambda _: time.sleep(0.1), dead_after_s=3)
    assert taken.number == 2
    driver.send_signal(signal.SIGCONT)
    told, _ = driver.communicate(timeout=20)
    assert "now (lease 2): what had lease 1 must not write any more" in told
    lease.check(local, RUN, 2)
