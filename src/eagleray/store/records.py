"""How a record becomes an object and comes back."""

from __future__ import annotations

from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from eagleray.errors import StorageError
from eagleray.store.objects import Objects


class Record(BaseModel):
    """Something written down. Frozen; keys that a newer version added are passed over."""

    model_config = ConfigDict(frozen=True, extra="ignore")


AnyRecord = TypeVar("AnyRecord", bound=Record)


class Damaged(StorageError):
    """There is an object, and it is no record of the kind that belongs there."""


class Newer(StorageError):
    """There is something that a newer eagleray wrote: to pass over it could spoil it."""


def dump(record: Record) -> bytes:
    """As JSON that people can read. A number that is not finite becomes null, since JSON has none."""
    return record.model_dump_json(indent=2).encode() + b"\n"


def load(objects: Objects, key: str, kind: type[AnyRecord]) -> AnyRecord:
    """Read a record. Raises ObjectMissing, and Damaged where it cannot be understood."""
    data = objects.read(key)
    try:
        return kind.model_validate_json(data)
    except ValidationError as error:
        raise Damaged(
            f"{objects.uri}: {key} is damaged or was written by a newer eagleray ({_first_problem(error)}): "
            "upgrade eagleray, or restore the file"
        ) from error


def _first_problem(error: ValidationError) -> str:
    problem = error.errors()[0]
    place = ".".join(map(str, problem["loc"]))
    return f"{place}: {problem['msg']}" if place else problem["msg"]
