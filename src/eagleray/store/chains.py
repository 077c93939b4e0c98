"""A chain: numbered objects in a folder, each created exclusively. The highest counts, all of them are the history.

Who decides something on the newest object writes the next number: of several that do so at once one gets it, and the
others know that they decided on what is no longer so.
"""

from __future__ import annotations

import json
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import PurePosixPath

from eagleray.store import paths, records
from eagleray.store.objects import ObjectMissing, Objects
from eagleray.store.records import AnyRecord, Record

_CONCURRENT_READS = 8


def create(objects: Objects, key: str, data: bytes) -> bool:
    """Create an object; False where another has.

    `data` must be the caller's alone: a remote server's answer can be lost and the request be sent again. What then
    stands in the way is ours.
    """
    if objects.create(key, data):
        return True
    try:
        return objects.read(key) == data
    except ObjectMissing:  # it was another's, and is gone
        return False


def add(objects: Objects, chain: str, number: int, record: Record) -> bool:
    """Write the object of this number; False where another has."""
    # The token makes it ours alone: two processes may well write the same within a moment. Reading passes it over.
    data = {**json.loads(records.dump(record)), "token": uuid.uuid4().hex}
    return create(objects, paths.link(chain, number), json.dumps(data, indent=2, ensure_ascii=False).encode() + b"\n")


def newest(objects: Objects, chain: str, kind: type[AnyRecord]) -> AnyRecord | None:
    """The object of the highest number; None where there is none."""
    numbers = _numbers(objects, chain)
    return records.load(objects, paths.link(chain, numbers[-1]), kind) if numbers else None


def history(objects: Objects, chain: str, kind: type[AnyRecord]) -> list[AnyRecord]:
    """All objects, the oldest first."""
    keys = [paths.link(chain, number) for number in _numbers(objects, chain)]
    with ThreadPoolExecutor(_CONCURRENT_READS) as threads:
        return list(threads.map(lambda key: records.load(objects, key, kind), keys))


def _numbers(objects: Objects, chain: str) -> list[int]:
    stems = (PurePosixPath(info.key).stem for info in objects.list(chain))
    return sorted(int(stem) for stem in stems if stem.isdecimal())
