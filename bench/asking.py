"""Clients that ask an endpoint all the time, and what they saw."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException

from bench.serving import PORT


class Asked:
    """What clients saw that asked all the time."""

    def __init__(self, *, pause_s: float) -> None:
        self._pause_s = pause_s
        self.statuses: Counter[int] = Counter()
        self.first: dict[int, float] = {}  # when a version first answered, in seconds since 1970
        self.num_told_when = 0  # failures that say when to try again
        self.may_go_on = True

    @property
    def num(self) -> int:
        """Requests."""
        return self.statuses.total()

    @property
    def failed(self) -> int:
        """Requests that were not answered with 200."""
        return self.num - self.statuses[200]

    def ask(self) -> None:
        """Ask the endpoint on `PORT`, one request after the other, until it may not go on."""
        body = json.dumps({"inputs": "a joy to watch, and a film that knows what it is about"})
        connection = HTTPConnection("127.0.0.1", PORT, timeout=30)
        while self.may_go_on:
            time.sleep(self._pause_s)
            try:
                connection.request("POST", "/v1/predict", body, {"Content-Type": "application/json"})
                answer = connection.getresponse()
                found = json.loads(answer.read())
            except (OSError, HTTPException, ValueError):
                self.statuses[0] += 1
                connection.close()
                continue
            self.statuses[answer.status] += 1
            if answer.status == 200:
                self.first.setdefault(found["version"], time.time())
            elif answer.headers["retry-after"] is not None:
                self.num_told_when += 1
        connection.close()


@contextmanager
def clients(number: int, *, pause_s: float = 0.0) -> Iterator[Asked]:
    """So many clients that ask until the end of the block, each with a pause before it asks."""
    asked = Asked(pause_s=pause_s)
    threads = [threading.Thread(target=asked.ask) for _ in range(number)]
    for thread in threads:
        thread.start()
    try:
        yield asked
    finally:
        asked.may_go_on = False
        for thread in threads:
            thread.join()
