"""How often each training row is learned from: equal shares of labels or languages, and a few rows of each label."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from eagleray.spec.base import Spec

By = Literal["label", "language"]
Share = Annotated[float, Field(gt=0, le=1)]


class OversampleSpec(Spec):
    """Rows of rare labels are learned from several times an epoch."""

    type: Literal["oversample"]
    """How the training rows are balanced."""
    by: By = "label"
    """What is balanced: labels (of several on a row the rarest), or the languages of `data.language`."""
    share: Share = 1.0
    """What the rare ones come to, as a share of the most frequent: 1 makes all equal."""


class UndersampleSpec(Spec):
    """Only some rows of frequent labels are learned from."""

    type: Literal["undersample"]
    """How the training rows are balanced."""
    by: By = "label"
    """What is balanced: labels (of several on a row the rarest), or the languages of `data.language`."""
    share: Share = 1.0
    """The rarest as a share of what the frequent ones are cut to: 1 makes all equal."""


class TemperatureSpec(Spec):
    """Shares between those of the data and equal ones: n ** (1 / temperature), as for multilingual BERT and XLM-R
    (Conneau and Lample 2019, arXiv:1901.07291). The number of rows stays."""

    type: Literal["temperature"]
    """How the training rows are balanced."""
    by: By = "language"
    """What is balanced: the languages of `data.language`, or labels."""
    temperature: Annotated[float, Field(ge=1)] = 3.0
    """1 leaves the shares as they are; the more, the more equal they become."""


BalanceSpec = Annotated[OversampleSpec | UndersampleSpec | TemperatureSpec, Field(discriminator="type")]


class FewShotSpec(Spec):
    """Learn from a few rows of each label. Validation and test keep all of theirs."""

    per_class: Annotated[int, Field(ge=1)]
    """Rows of each label (of several on a row the rarest counts)."""
    draw: Annotated[int, Field(ge=0)] = 0
    """Which draw of such rows: a sweep over `data.few_shot.draw` tells how much the draw matters."""
