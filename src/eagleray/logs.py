"""How does a log look to a program? One JSON object a line: when, how grave, what, and of which run, rank and step.

A process that begins it writes nothing else on stderr: what Python's logging and warnings tell goes there, and so does
every line that anything else prints.
"""

from __future__ import annotations

import io
import json
import logging
import math
import os
import re
import sys
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Literal, TextIO

Level = Literal["info", "warning", "error"]

_SECRET = re.compile(r"(KEY|TOKEN|SECRET|PASSWORD|CREDENTIALS?)(_ID)?$", re.IGNORECASE)
"""Names of environment variables whose values are shown to nobody."""
_MIN_SECRET_CHARS = 8  # what is shorter is a word such as "token", and would be blanked in every sentence
_SHAPES = re.compile(r"\ber_[\w-]{20,}|(?<=bearer )[\w.~+/=-]{8,}|(?<=://)[^\s/@:]*:[^\s/@]+(?=@)", re.IGNORECASE)
"""API keys of endpoints, what follows `Bearer`, and user and password of a URL."""
_QUERY = re.compile(
    r"([?&](?:X-Amz-Signature|X-Amz-Credential|X-Amz-Security-Token|sig|signature|(?:access_)?token|key|password)=)[^&\s]+",
    re.IGNORECASE,
)
"""What signs a URL."""
_BLANK = "***"
_LEVELS: Mapping[int, Level] = {logging.WARNING: "warning", logging.ERROR: "error", logging.CRITICAL: "error"}


class Lines(io.TextIOBase):
    """Stands in for stderr: each line written to it becomes an object on the stream behind it."""

    def __init__(self, behind: TextIO, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._behind, self._now = behind, now
        self._lock = threading.RLock()
        self._begun = ""
        self._place: dict[str, Any] = {}
        self._displaced: list[logging.Handler] = []

    def begin(self) -> None:
        """Take the place of stderr, and of what logs to it already, as it does in Ray's workers."""
        root = logging.getLogger()
        self._displaced = [handler for handler in root.handlers if self._is_of_stderr(handler)]
        root.handlers = [each for each in root.handlers if each not in self._displaced] + [Handler(self)]
        logging.getLogger("eagleray").setLevel(logging.INFO)
        logging.captureWarnings(True)
        sys.stderr = self

    def end(self) -> None:
        """Have all as it was before `begin`."""
        self.write("\n")  # what was printed without the end of a line
        sys.stderr = self._behind
        root = logging.getLogger()
        root.handlers = [each for each in root.handlers if not isinstance(each, Handler)] + self._displaced
        logging.getLogger("eagleray").setLevel(logging.NOTSET)
        logging.captureWarnings(False)

    def at(self, **place: Any) -> None:
        """From here on lines are of this run, rank or step; of none where it is None."""
        self._place = {name: value for name, value in {**self._place, **place}.items() if value is not None}

    def note(self, level: Level, message: str, **facts: Any) -> None:
        """Write a line. A fact of the name of a place is the place of this line alone."""
        told = {"time": self._now().isoformat(timespec="milliseconds").replace("+00:00", "Z"), "level": level}
        secrets = _secrets()
        line = {**told, "message": message, **self._place, **facts}
        # In ASCII: to some readers U+2028 and its like end a line.
        text = json.dumps({name: _plain(value, secrets) for name, value in line.items()}, default=str)
        with self._lock:
            self._behind.write(text + "\n")
            self._behind.flush()

    def write(self, text: str) -> int:
        """Take what somebody prints; a line is told when it has ended."""
        with self._lock:
            *whole, self._begun = re.split(r"\r\n|\n|\r", self._begun + text)
        for line in whole:
            if line.strip():
                self.note("info", line)
        return len(text)

    def fileno(self) -> int:
        """Of the stream behind: for processes that are started, and what writes below Python."""
        return self._behind.fileno()

    def isatty(self) -> bool:
        """It is for programs, wherever it goes."""
        return False

    def writable(self) -> bool:
        """It is all that it is."""
        return True

    def _is_of_stderr(self, handler: logging.Handler) -> bool:
        if not isinstance(handler, logging.StreamHandler) or isinstance(handler, logging.FileHandler):
            return False
        try:
            return handler.stream is self._behind or handler.stream.fileno() in (2, self._behind.fileno())
        except (OSError, ValueError, AttributeError):  # a stream without a file
            return False


class Handler(logging.Handler):
    """What is logged, as lines."""

    def __init__(self, lines: Lines) -> None:
        super().__init__()
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line; an exception is in it, with its traceback."""
        try:
            facts: dict[str, Any] = {"logger": record.name}
            if record.exc_info:
                facts["exception"] = logging.Formatter().formatException(record.exc_info)
            self._lines.note(_LEVELS.get(record.levelno, "info"), record.getMessage(), **facts)
        except Exception:  # logging must not end what is logged
            self.handleError(record)


def begin(**place: Any) -> Lines:
    """Have this process write JSON lines; where it does so already, of another place."""
    lines = active()
    if lines is None:
        lines = Lines(sys.stderr)
        lines.begin()
    lines.at(**place)
    return lines


def end() -> None:
    """Have stderr as it was before `begin`."""
    lines = active()
    if lines is not None:
        lines.end()


def active() -> Lines | None:
    """Where this process writes JSON lines; None where it does not."""
    return sys.stderr if isinstance(sys.stderr, Lines) else None


def at(**place: Any) -> None:
    """Say where this process is, if it writes JSON lines."""
    lines = active()
    if lines is not None:
        lines.at(**place)


def _secrets() -> list[str]:
    """At each line: Ray's token, for one, is made after the first lines."""
    found = [value for name, value in os.environ.items() if len(value) >= _MIN_SECRET_CHARS and _SECRET.search(name)]
    return sorted(found, key=len, reverse=True)  # one may be the beginning of another


def _plain(value: Any, secrets: list[str]) -> Any:
    """What JSON has: no secret, and no number that is not finite."""
    match value:
        case str():
            for secret in secrets:
                value = value.replace(secret, _BLANK)
            return _QUERY.sub(rf"\1{_BLANK}", _SHAPES.sub(_BLANK, value))
        case float():
            return value if math.isfinite(value) else None
        case Mapping():
            return {str(key): _plain(each, secrets) for key, each in value.items()}
        case list() | tuple():
            return [_plain(each, secrets) for each in value]
    return value
