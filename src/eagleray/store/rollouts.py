"""How far an endpoint is with the version that an alias points to: one record a step, the newest counts."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, Field

from eagleray.store import chains, paths
from eagleray.store.objects import Objects
from eagleray.store.records import Record


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
