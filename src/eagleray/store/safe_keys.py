"""Which keys does every storage keep as they are?"""

from __future__ import annotations

import re

from eagleray.errors import StorageError

_STAGED = re.compile(r"#\d+$")
_MAX_KEY_BYTES = 900  # S3 takes 1024, the storage's own prefix included
_MAX_SEGMENT_BYTES = 200  # a file name has 255 bytes, of which staging takes some


def check(key: str) -> str:
    """Return `key`. Raises StorageError where it is not a plain relative path that every storage keeps as it is."""
    found = problem(key)
    if found:
        raise StorageError(f"{key!r} cannot be a key on the storage: {found}")
    return key


def problem(key: str) -> str:
    """What keeps `key` from being a key; empty where nothing does."""
    if not key or key.startswith("/"):
        return "it must be a relative path that is not empty"
    if len(key.encode(errors="replace")) > _MAX_KEY_BYTES:
        return f"it is longer than {_MAX_KEY_BYTES} bytes"
    return next(filter(None, map(_problem_of_segment, key.split("/"))), "")


def _problem_of_segment(segment: str) -> str:
    if segment in ("", ".", ".."):
        return "'//', '.' and '..' are not allowed in it"
    if not segment.isprintable() or "\\" in segment:
        return "control characters and backslashes are not allowed in it"
    if len(segment.encode()) > _MAX_SEGMENT_BYTES:
        return f"one of its parts is longer than {_MAX_SEGMENT_BYTES} bytes"
    if _STAGED.search(segment):
        return "a name that ends in '#' and digits is that of a file still being written"
    return ""
