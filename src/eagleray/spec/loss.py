"""What is minimised, and what each label counts: one class each, chosen by `type`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from eagleray.spec.base import Conflict, ConflictError, NotNegative, Positive, Spec


class CrossEntropySpec(Spec):
    """The negative logarithm of the probability of what is true."""

    type: Literal["cross-entropy"]
    """What is minimised."""
    class_weights: Literal["none", "balanced"] = "none"
    """`balanced`: a label counts rows / (labels * its rows), so that all labels count the same in the end."""
    weights: dict[str, Positive] = Field(default={})
    """What a label counts, `{spam: 4.0}`; one that is not named counts 1."""

    @model_validator(mode="after")
    def _one_kind_of_weights(self) -> CrossEntropySpec:
        _refuse_two_kinds(self.class_weights, self.weights)
        return self

    @property
    def is_plain(self) -> bool:
        """Whether every label counts the same."""
        return self.class_weights == "none" and not self.weights


class FocalSpec(Spec):
    """Cross entropy times (1 - p) ** gamma, p the probability of what is true: what is known already counts little
    (Lin et al. 2017, arXiv:1708.02002)."""

    type: Literal["focal"]
    """What is minimised."""
    gamma: NotNegative = 2.0
    """0 is cross entropy."""
    class_weights: Literal["none", "balanced"] = "none"
    """`balanced`: a label counts rows / (labels * its rows), so that all labels count the same in the end."""
    weights: dict[str, Positive] = Field(default={})
    """What a label counts, `{spam: 4.0}`; one that is not named counts 1."""

    @model_validator(mode="after")
    def _one_kind_of_weights(self) -> FocalSpec:
        _refuse_two_kinds(self.class_weights, self.weights)
        return self

    @property
    def is_plain(self) -> bool:
        """Never: see `CrossEntropySpec`."""
        return False


def _refuse_two_kinds(class_weights: str, weights: dict[str, float]) -> None:
    if class_weights != "none" and weights:
        raise ConflictError(Conflict("weights", "and `class_weights: balanced` exclude each other: keep one of them"))


LossSpec = Annotated[CrossEntropySpec | FocalSpec, Field(discriminator="type")]
