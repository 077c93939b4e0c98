"""Which objects must be applied, so that all that are wanted are there as they were asked for?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from eagleray.kube import drift
from eagleray.kube.actions import Action, Apply, EmitEvent
from eagleray.kube.observed import Observed, is_leaving
from eagleray.kube.target import Manifest


def stranger(wanted: Iterable[Manifest], observed: Observed) -> str | None:
    """What has the name of something that is to be made and belongs to somebody else, in words."""
    for manifest in wanted:
        if manifest["kind"] == "PersistentVolumeClaim":
            continue
        if observed.stranger(manifest) is not None:
            kind, name = manifest["kind"], manifest["metadata"]["name"]
            return (
                f"there is a {kind} {name} already that was not made for this document: delete it, or give the "
                "document another name"
            )
    return None


def of(wanted: Iterable[Manifest], observed: Observed) -> Iterator[Action]:
    """Applies, each with an event where somebody else has changed what was asked for."""
    for manifest in wanted:
        yield from _of(manifest, observed)


def _of(wanted: Manifest, observed: Observed) -> Iterator[Action]:
    kind, name = wanted["kind"], wanted["metadata"]["name"]
    there = observed.children.get((kind, name))
    if kind == "PersistentVolumeClaim":  # bound, it cannot be changed; nor is it ours
        if there is None:
            yield Apply(wanted)
        return
    if there is None:
        yield Apply(wanted)
        return
    if is_leaving(there):
        return  # made again once it is gone
    place = drift.edited(there, wanted)
    if place is None:
        return
    if drift.is_meant(there, wanted):
        yield EmitEvent(observed.owner, "Warning", "Restored", f"somebody changed {place} of {kind} {name}: put back")
    yield Apply(wanted)
