"""How rows without a label take part: a model labels those that it is sure of, and a new one learns from them too."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from eagleray.spec.base import Spec, Text


class SelfTrainingSpec(Spec):
    """Rounds of a teacher that labels and a student that learns (Xie et al. 2019, arXiv:1911.04252)."""

    unlabeled: Text
    """Rows of the same form as `data.train`; a label that they have is not looked at."""
    rounds: Annotated[int, Field(ge=1)] = 3
    """How many students there are at most; it ends with the first that is no better than its teacher."""
    threshold: Annotated[float, Field(gt=0, lt=1)] = 0.9
    """How probable the teacher must find its label for a row to be taken."""
    per_class: bool = False
    """Lower the threshold of a label in proportion as the teacher is less sure of its rows than of another label's."""
    balance: Literal["none", "labels"] = "labels"
    """`labels`: take the surest rows of each label, in the proportions of the labelled rows. `none`: take all."""
    labels: Literal["hard", "soft"] = "hard"
    """What the student learns of a row: `hard`, the label; `soft`, how probable the teacher found each label."""
