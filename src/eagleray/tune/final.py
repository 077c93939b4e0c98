"""The document of the last run: the best configuration, for longer, and on more rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from eagleray.errors import UserError
from eagleray.spec import space
from eagleray.spec.data import ValidationSpec
from eagleray.spec.finetune import FineTune

ONLY_AT_END = 10**9
"""Steps between checkpoints that no run reaches: the last step has one anyway."""


def document(base: FineTune, params: Mapping[str, Any]) -> FineTune:
    """Return what `--final` trains.

    With the validation rows among the training rows the test rows stand in for them, so that there is something to
    evaluate: nothing may be chosen by them, so there is one checkpoint, at the end, and no early stopping.

    Raises:
        UserError: the document has no `sweep.final`.
    """
    final = base.spec.sweep.final if base.spec.sweep else None
    if final is None:
        raise UserError("--final: the document has no spec.sweep.final: say there how the last run is trained")
    best = space.apply(base, params)
    spec = best.spec
    # A bound in steps would hold the run to the length of a trial.
    longer = {} if final.epochs is None else {"epochs": final.epochs, "max_steps": None}
    train = spec.train.model_copy(update=longer)
    if not final.with_validation:
        return best.model_copy(update={"spec": spec.model_copy(update={"train": train})})
    sections = {
        "data": spec.data.model_copy(update={"validation": ValidationSpec(file=spec.data.test)}),
        "train": train.model_copy(update={"early_stopping": None, "evaluate_every_steps": None}),
        "checkpoint": spec.checkpoint.model_copy(update={"every_steps": ONLY_AT_END}),
    }
    return best.model_copy(update={"spec": spec.model_copy(update=sections)})
