"""What every part of a document has in common: immutable, strict, no unknown keys."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints


class Spec(BaseModel):
    """A part of a document. Frozen; unknown keys and values of another type are errors."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


@dataclass(frozen=True, slots=True)
class Conflict:
    """Values that are right by themselves and wrong together."""

    path: str  # relative to the model that found it: "warmup_steps", "data.batching.type"; "" for all of it
    message: str  # what was given, what is allowed, how to mend it


class ConflictError(ValueError):
    """What a validator across several keys raises: pydantic hands it on, `findings` gives each its place."""

    def __init__(self, *conflicts: Conflict) -> None:
        self.conflicts = conflicts
        super().__init__("; ".join(": ".join(filter(None, (c.path, c.message))) for c in conflicts))


@dataclass(frozen=True, slots=True)
class InWords:
    """What a value must be, for error messages, where its constraints do not say it well."""

    text: str


MAX_NAME = 40
_NAME = "[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?"

Name = Annotated[
    str,
    StringConstraints(pattern=f"^{_NAME}$", max_length=MAX_NAME),
    InWords('a name of at most 40 lower-case letters, digits and "-" that begins and ends with a letter or digit'),
]
"""A DNS label of at most 40 characters: it becomes part of Kubernetes object names."""

Reference = Annotated[
    str,
    StringConstraints(pattern=f"^{_NAME}(@({_NAME}))?$"),
    InWords("a registered model as NAME@ALIAS, NAME@3 or NAME"),
]
"""Which version of a registered model."""

Text = Annotated[str, StringConstraints(min_length=1)]
"""A string that is not empty."""

Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]

Share = Annotated[float, Field(ge=0, lt=1)]
"""A part of a whole that is never all of it."""
