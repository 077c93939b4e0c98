"""How far an endpoint is with the version that an alias points to: one record a step, the newest counts.

Beside them lies its last sign of life.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, Field

from eagleray.store import chains, paths, records
from eagleray.store.objects import ObjectMissing, Objects
from eagleray.store.records import Record

TELL_EVERY_S = 15.0
HEARD_FOR_S = 60.0
"""An endpoint that said nothing for longer is silent: it was ended, or it has died."""


class RolloutRecord(Record):
    """Which versions answer, and which share of the requests the new one gets."""

    name: str
    alias: str
    number: Annotated[int, Field(ge=1)]
    stable: int
    """The version that was proven."""
    candidate: int | None = None
    """The version that is to take its place."""
    share: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Of the requests, those that the candidate answers."""
    phase: Literal["stable", "proving", "loading", "shadow", "shifting", "rolled-back"]
    reason: str = ""
    at: AwareDatetime
    facts: dict[str, Any] = Field(default_factory=dict)
    """What was measured: error rates, latencies, disagreement."""


class HeardRecord(Record):
    """A sign of life of an endpoint that follows an alias; replaced every `TELL_EVERY_S`."""

    at: AwareDatetime
    num_replicas: Annotated[int, Field(ge=0)]
    """Processes that answer."""
    loaded: dict[int, int]
    """In how many of them each version is in memory."""


def is_due(heard: HeardRecord, told: HeardRecord | None) -> bool:
    """Whether it is time to tell: something has changed since, or a while has passed."""
    if told is None or (heard.num_replicas, heard.loaded) != (told.num_replicas, told.loaded):
        return True
    return (heard.at - told.at).total_seconds() >= TELL_EVERY_S


def tell(objects: Objects, name: str, alias: str, heard: HeardRecord) -> None:
    """Write a sign of life."""
    objects.put(paths.heard(name, alias), records.dump(heard))


def heard(objects: Objects, name: str, alias: str) -> HeardRecord | None:
    """The last sign of life; None where there never was one."""
    try:
        return records.load(objects, paths.heard(name, alias), HeardRecord)
    except ObjectMissing:
        return None


def newest(objects: Objects, name: str, alias: str) -> RolloutRecord | None:
    """What holds now; None where no endpoint has followed the alias yet."""
    return chains.newest(objects, paths.rollout(name, alias), RolloutRecord)


def history(objects: Objects, name: str, alias: str) -> list[RolloutRecord]:
    """All that held, the oldest first."""
    return chains.history(objects, paths.rollout(name, alias), RolloutRecord)


def write(objects: Objects, record: RolloutRecord) -> bool:
    """Write the record that follows what was read; False where its number is taken: read again, decide again."""
    return chains.add(objects, paths.rollout(record.name, record.alias), record.number, record)


def of_model(objects: Objects, name: str) -> list[RolloutRecord]:
    """What holds now for each alias of a model that an endpoint has followed."""
    found = (newest(objects, name, alias) for alias in objects.folders(paths.rollouts(name)) if paths.is_alias(alias))
    return [record for record in found if record is not None]
