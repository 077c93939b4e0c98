"""What a causal-lm is trained to do with its rows."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from eagleray.spec.base import Spec, Text


class LikelihoodSpec(Spec):
    """Say what the rows say."""

    type: Literal["likelihood"]
    """What is minimised."""


class DpoSpec(Spec):
    """Prefer one answer to another, and stay near the model of the start (Rafailov et al. 2023, arXiv:2305.18290)."""

    type: Literal["dpo"]
    """What is minimised."""
    beta: Annotated[float, Field(gt=0.0)] = 0.1
    """How dear it is to move away from the model of the start: more stays nearer."""
    chosen: Text = "chosen"
    """Column of the answer that is preferred: a text, or messages that end with it."""
    rejected: Text = "rejected"
    """Column of the other answer."""


ObjectiveSpec = Annotated[LikelihoodSpec | DpoSpec, Field(discriminator="type")]
