"""Which part of the training state does this rank hold? The same description at every ZeRO stage.

A fragment is a piece of one flattened parameter with its fp32 weights and its part of the optimizer's state, as views:
reading them saves a run, writing into them restores it, whatever DeepSpeed calls the buffers behind them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

_PEFT = "base_model.model."
"""What PEFT puts before every name."""


@dataclass(frozen=True, slots=True)
class Fragment:
    """A piece of a learning parameter."""

    name: str
    start: int  # where it begins in the flattened parameter
    numel: int
    whole: int  # elements of the parameter
    flat: torch.Tensor  # what the optimizer steps: holds the fp32 weights of this and of other fragments
    offset: int  # where it begins in `flat`
    state: dict[str, Any]  # the optimizer's state of `flat`; empty before the first step

    @property
    def weight(self) -> torch.Tensor:
        """(numel,) fp32, a view."""
        return self._view(self.flat)

    def moments(self) -> dict[str, torch.Tensor]:
        """What the optimizer keeps for each weight, as exp_avg: (numel,) views."""
        return {
            key: self._view(value)
            for key, value in self.state.items()
            if isinstance(value, torch.Tensor) and value.shape == self.flat.shape and value.dim()
        }

    def scalars(self) -> dict[str, float]:
        """What the optimizer keeps once for all of them: its count of steps."""
        return {
            key: float(value)
            for key, value in self.state.items()
            if (isinstance(value, torch.Tensor) and not value.dim()) or isinstance(value, int | float)
        }

    def moment(self, key: str) -> torch.Tensor:
        """The view of one moment, which is made (zero) where the optimizer has taken no step yet."""
        if key not in self.state:
            self.state[key] = torch.zeros_like(self.flat)
        return self._view(self.state[key])

    def set_scalars(self, values: Mapping[str, float]) -> None:
        """Set what is kept once."""
        for key, value in values.items():
            self.state[key] = torch.tensor(value, dtype=torch.float32)

    def _view(self, tensor: torch.Tensor) -> torch.Tensor:
        return tensor.detach().view(-1).narrow(0, self.offset, self.numel)


def replicated(
    module: nn.Module, optimizer: Any, *, rank: int, world_size: int, is_for_writing: bool
) -> Iterator[Fragment]:
    """Stage 0: every rank holds everything, and writes its share of each parameter."""
    for name, parameter in _learning(module):
        numel = parameter.numel()
        start, stop = (numel * r // world_size for r in (rank, rank + 1)) if is_for_writing else (0, numel)
        if stop > start:
            yield Fragment(name, start, stop - start, numel, parameter, start, optimizer.state[parameter])


def sharded_optimizer(module: nn.Module, optimizer: Any) -> Iterator[Fragment]:
    """Stages 1 and 2: a rank holds a range of all parameters laid end to end, group by group.

    DeepSpeed keeps with each parameter where its part lies (`_hp_mapping`), for its own universal checkpoint.
    """
    for name, parameter in _learning(module):
        mapping = parameter._hp_mapping  # type: ignore[attr-defined]
        if mapping is None:  # all of it is on other ranks
            continue
        (flat,) = optimizer.optimizer.param_groups[mapping.param_group_index]["params"]
        inside, outside = mapping.lp_fragment_address, mapping.hp_fragment_address
        state = optimizer.optimizer.state[flat]
        yield Fragment(name, inside.start, inside.numel, parameter.numel(), flat, outside.start, state)


def sharded_weights(module: nn.Module, optimizer: Any, *, rank: int) -> Iterator[Fragment]:
    """Stage 3: every parameter is cut into equal parts, the last filled up."""
    for name, parameter in _learning(module):
        group, offset, part = optimizer.grad_position[optimizer.get_param_id(parameter)]
        whole = parameter.ds_numel  # type: ignore[attr-defined]
        start = rank * part
        numel = min(part, whole - start)
        if numel > 0:
            flat = optimizer.fp32_partitioned_groups_flat[group]
            yield Fragment(name, start, numel, whole, flat, offset, optimizer.optimizer.state[flat])


def gradients(module: nn.Module, optimizer: Any, *, stage: int) -> Iterator[tuple[str, torch.Tensor]]:
    """Each learning parameter's gradient, or the part of it that this rank holds, between backward pass and step.

    At stage 0 every rank has all of it; from stage 1 on what the ranks hold does not overlap.
    """
    found: Iterable[tuple[str, torch.Tensor | None]]
    match stage:
        case 0:
            found = ((name, parameter.grad) for name, parameter in _learning(module))
        case 3:
            found = _sharded_gradients(module, optimizer)
        case _:
            found = ((name, _part_of_gradient(parameter)) for name, parameter in _learning(module))
    return ((name, gradient.detach()) for name, gradient in found if gradient is not None)


def layer_of(name: str) -> str:
    """The layer that a parameter is of: all up to the number of its block, else its module next to the top.

    `model.layers.3.mlp.up_proj.weight` is of `model.layers.3`, `bert.embeddings.LayerNorm.bias` of `bert.embeddings`.
    """
    parts = name.removeprefix(_PEFT).split(".")[:-1]
    number = next((place for place, part in enumerate(parts) if part.isdecimal()), None)
    return ".".join(parts[:2] if number is None else parts[: number + 1]) or name


def _part_of_gradient(parameter: Any) -> torch.Tensor | None:
    """Stages 1 and 2: DeepSpeed finds it, on the device or with an offloaded optimizer."""
    mapping = parameter._hp_mapping
    if mapping is None:
        return None
    gradient: torch.Tensor = mapping.get_lp_grad_fragment(parameter._index_in_param_group).view(-1)
    held = mapping.lp_fragment_address
    # In half precision stage 1 keeps whole gradients on every rank.
    return gradient if gradient.numel() == held.numel else gradient.narrow(0, held.start, held.numel)


def _sharded_gradients(module: nn.Module, optimizer: Any) -> Iterator[tuple[str, torch.Tensor]]:
    """Stage 3: with the optimizer's weights where that is offloaded, else in a list in the parameters' order."""
    names = {id(parameter): name for name, parameter in _learning(module)}
    for group, parameters in enumerate(optimizer.fp16_groups):
        for place, parameter in enumerate(parameters):
            if id(parameter) not in names:
                continue
            _, offset, numel = optimizer.grad_position[optimizer.get_param_id(parameter)]
            offloaded = optimizer.fp32_partitioned_groups_flat[group].grad if optimizer.offload_optimizer else None
            yield (
                names[id(parameter)],
                optimizer.averaged_gradients[group][place] if offloaded is None else offloaded.narrow(0, offset, numel),
            )


def _learning(module: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    return ((name, parameter) for name, parameter in module.named_parameters() if parameter.requires_grad)
