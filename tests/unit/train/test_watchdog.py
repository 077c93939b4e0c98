"""When is a worker taken for hung, and what is left of it?"""

from __future__ import annotations

import threading
import time

from eagleray.train.watchdog import EXIT_HUNG, Hang, Watchdog


def _watchdog(timeout_s: float) -> tuple[Watchdog, list[Hang], list[int], threading.Event]:
    hangs: list[Hang] = []
    codes: list[int] = []
    ended = threading.Event()

    def end(code: int) -> None:
        codes.append(code)
        ended.set()

    return Watchdog(timeout_s=timeout_s, on_hang=hangs.append, end=end, grace_s=0.0), hangs, codes, ended


def test_silence_ends_the_process_and_tells_where_it_was() -> None:
    watchdog, hangs, codes, ended = _watchdog(0.3)
    watchdog.start()
    watchdog.mark("reading a batch")
    watchdog.mark("updating the weights")

    assert ended.wait(10)

    (hang,) = hangs
    assert codes == [EXIT_HUNG]
    assert (hang.num_marks, hang.doing) == (2, "updating the weights")
    assert hang.silent_s >= 0.3
    assert "test_silence_ends_the_process" in hang.stacks, "the stack of the thread that hangs"


def test_marks_keep_it_alive() -> None:
    watchdog, hangs, codes, _ = _watchdog(0.5)
    watchdog.start()
    until = time.monotonic() + 1.5
    while time.monotonic() < until:
        watchdog.mark("working")
        time.sleep(0.01)
    watchdog.close()

    assert (hangs, codes) == ([], [])


def test_a_worker_that_is_done_is_left_alone() -> None:
    watchdog, _, codes, ended = _watchdog(0.2)
    watchdog.start()
    watchdog.close()

    assert not ended.wait(0.6)
    assert codes == []
