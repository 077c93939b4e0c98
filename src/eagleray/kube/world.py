"""What was last seen of the cluster?

A copy that may be behind: plans are made from it, and what they do is safe all the same, as names are deterministic,
deletions name the uid and a status names the version that it was made from.
"""

from __future__ import annotations

import json
import threading
import zlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from eagleray.kube.kinds import OWNERS, Key, concerned, is_listed
from eagleray.kube.target import Manifest

_Place = tuple[str, str, str]  # kind, namespace, name


@dataclass(frozen=True, slots=True)
class _Seen:
    """An object, packed: as dictionaries the objects of a thousand documents are fifty times as large."""

    packed: bytes
    version: int
    concerned: tuple[Key, ...]
    is_listed: bool
    """Whether it is among those that are listed; others were met by their name."""


class World:
    """All objects that matter, by kind, namespace and name. For any number of threads."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._seen: dict[_Place, _Seen] = {}
        self._of: dict[Key, set[_Place]] = {}
        self._phases: dict[Key, str] = {}

    def see(self, manifest: Manifest) -> tuple[Key, ...]:
        """An object is like this, unless something newer is known of it. Returns whom that concerns."""
        place, version = _place(manifest), _version(manifest)
        with self._lock:
            before = self._seen.get(place)
            if before is not None and before.version >= version > 0:
                return ()
            keys = tuple(dict.fromkeys(concerned(manifest)))
            self._drop(place)
            self._seen[place] = _Seen(_packed(manifest), version, keys, is_listed(manifest))
            for key in keys:
                self._of.setdefault(key, set()).add(place)
            if place[0] in OWNERS:
                self._phases[Key(*place)] = manifest.get("status", {}).get("phase", "")
            return tuple(dict.fromkeys((*keys, *(before.concerned if before is not None else ()))))

    def forget(self, manifest: Manifest) -> tuple[Key, ...]:
        """An object is gone, unless a newer one of its name is known. Returns whom that concerns."""
        place = _place(manifest)
        with self._lock:
            before = self._seen.get(place)
            if before is None or before.version > _version(manifest) > 0:
                return ()
            self._drop(place)
            return before.concerned

    def replace(self, kind: str, namespace: str | None, manifests: Iterable[Manifest]) -> set[Key]:
        """These are all objects of a kind now. Returns whom that concerns: whoever's have changed or are gone.

        They may come one by one, while others tell of newer ones.
        """
        with self._lock:
            before = {place for place in self._seen if place[0] == kind and namespace in (None, place[1])}
        changed: set[Key] = set()
        for manifest in manifests:
            before.discard(_place(manifest))
            changed.update(self.see(manifest))
        with self._lock:
            for place in before:
                if place in self._seen and self._seen[place].is_listed:
                    changed.update(self._seen[place].concerned)
                    self._drop(place)
        return changed

    def get(self, kind: str, namespace: str, name: str) -> Manifest | None:
        """An object, None where there is none."""
        with self._lock:
            found = self._seen.get((kind, namespace, name))
        return None if found is None else _unpacked(found.packed)

    def has(self, kind: str, namespace: str, name: str) -> bool:
        """Whether there is such an object."""
        with self._lock:
            return (kind, namespace, name) in self._seen

    def around(self, key: Key) -> list[Manifest]:
        """All that concerns a document, itself left out."""
        with self._lock:
            places = sorted(self._of.get(key, set()) - {(key.kind, key.namespace, key.name)})
            found = [self._seen[place].packed for place in places]
        return [_unpacked(packed) for packed in found]

    def state(self, key: Key) -> frozenset[tuple[_Place, int]]:
        """Which objects in which versions concern a document: the same state leads to the same plan."""
        with self._lock:
            return frozenset((place, self._seen[place].version) for place in self._of.get(key, ()))

    def keys(self) -> list[Key]:
        """All documents."""
        with self._lock:
            return [Key(*place) for place in self._seen if place[0] in OWNERS]

    def namesakes(self, key: Key) -> list[Manifest]:
        """The documents of the same kind and name in other namespaces."""
        with self._lock:
            found = [each for each in self._phases if (each.kind, each.name) == (key.kind, key.name) and each != key]
            return [_unpacked(self._seen[(each.kind, each.namespace, each.name)].packed) for each in found]

    def phases(self) -> Counter[tuple[str, str]]:
        """How many documents of each kind are in each phase."""
        with self._lock:
            return Counter((key.kind, phase) for key, phase in self._phases.items())

    def _drop(self, place: _Place) -> None:
        before = self._seen.pop(place, None)
        for key in before.concerned if before is not None else ():
            self._of[key].discard(place)
            if not self._of[key]:
                del self._of[key]
        if place[0] in OWNERS:
            self._phases.pop(Key(*place), None)


def _packed(manifest: Manifest) -> bytes:
    metadata = {key: value for key, value in manifest["metadata"].items() if key != "managedFields"}
    return zlib.compress(json.dumps({**manifest, "metadata": metadata}, separators=(",", ":")).encode(), level=1)


def _unpacked(packed: bytes) -> Manifest:
    return dict(json.loads(zlib.decompress(packed)))


def _place(manifest: Manifest) -> _Place:
    metadata = manifest["metadata"]
    return manifest["kind"], metadata.get("namespace", ""), metadata["name"]


def _version(manifest: Manifest) -> int:
    """Of the same server, a later version is the larger number; 0 where it is no number."""
    given = str(manifest["metadata"].get("resourceVersion", ""))
    return int(given) if given.isdecimal() else 0
