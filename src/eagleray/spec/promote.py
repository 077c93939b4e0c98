"""When does a registered version take over an alias?"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from eagleray.spec.base import Conflict, ConflictError, Name, Spec, Text


class GateSpec(Spec):
    """What a version must reach. Metrics are those of the test split, or of validation where there is no test."""

    metric: Text
    """The metric that decides."""
    mode: Literal["max", "min"] = "max"
    """Whether more is better, or less."""
    at_least: float | None = None
    """The least value (`mode: max`)."""
    at_most: float | None = None
    """The greatest value (`mode: min`)."""
    better_by: Annotated[float, Field(ge=0)] | None = None
    """By how much it must beat the version that has the alias now, on the same rows. Left out: it need not."""

    @model_validator(mode="after")
    def _threshold_goes_with_the_mode(self) -> GateSpec:
        wrong, right = ("at_most", "at_least") if self.mode == "max" else ("at_least", "at_most")
        if getattr(self, wrong) is not None:
            raise ConflictError(Conflict(wrong, f"has no meaning with `mode: {self.mode}`: use `{right}`"))
        if self.at_least is None and self.at_most is None and self.better_by is None:
            raise ConflictError(Conflict("", f"asks for nothing: give `{right}`, `better_by` or both"))
        return self


class PromoteSpec(Spec):
    """Which alias a new version takes over, and when."""

    alias: Name = "champion"
    """The alias that it takes over."""
    when: GateSpec | None = None
    """What it must reach; left out, every version that was registered takes the alias over."""

    @model_validator(mode="after")
    def _alias_is_no_number(self) -> PromoteSpec:
        if self.alias.isdecimal():
            raise ConflictError(
                Conflict("alias", f"`{self.alias}` would be taken for version {self.alias}: use a word, as `champion`")
            )
        return self
