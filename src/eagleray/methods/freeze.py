"""How do some weights stay as they are, by layer or by name, while the others learn?"""

from __future__ import annotations

from fnmatch import fnmatchcase

from transformers import PreTrainedModel

from eagleray.errors import UserError
from eagleray.methods import base
from eagleray.methods.base import HasModelClass


def apply(
    model: PreTrainedModel,
    *,
    task: HasModelClass,
    bottom_layers: int | None,
    patterns: tuple[str, ...],
    thaw: float,
    cache_features: bool,
) -> PreTrainedModel:
    """Freeze the embeddings and the lowest `bottom_layers` blocks, and what the patterns name.

    Without either all but the head is frozen; with `thaw` nothing, since the optimizer lets the layers learn one after
    another then. `cache_features` changes how the frozen part is run, and not what learns.

    Raises:
        UserError: the model has not so many layers, a pattern names nothing, or nothing is left to learn.
    """
    names = [name for name, _ in model.named_parameters()]
    depths = base.depths(names)
    frozen = _matching(names, patterns)
    if bottom_layers is not None:
        _check_layers(bottom_layers, num_layers=max(depths.values()) - 1)
        frozen |= {name for name, depth in depths.items() if depth <= bottom_layers}
    if bottom_layers is None and not patterns and not thaw:
        outside = base.heads(model)
        frozen = {name for name in names if name.partition(".")[0] not in outside}
    if frozen == set(names):
        raise UserError(
            f"method.type freeze: nothing of {type(model).__name__} is left to learn: give fewer method.bottom_layers "
            "or method.patterns; a language model has no head of its own"
        )
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name not in frozen)
    return model


def _matching(names: list[str], patterns: tuple[str, ...]) -> set[str]:
    found: set[str] = set()
    for pattern in patterns:
        matching = {name for name in names if fnmatchcase(name, pattern)}
        if not matching:
            raise UserError(f"method.patterns: `{pattern}` matches no weight; the first are {', '.join(names[:3])}")
        found |= matching
    return found


def _check_layers(bottom_layers: int, *, num_layers: int) -> None:
    if bottom_layers > num_layers:
        raise UserError(f"method.bottom_layers: {bottom_layers} is more than the {num_layers} layers of the model")
