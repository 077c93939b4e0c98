"""The only door to DeepSpeed: a sharded model that takes steps, and whose weights can be read and replaced."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from eagleray.train import averaging, fragments, optimizers
from eagleray.train.fragments import Fragment
from eagleray.train.group import Group

os.environ.setdefault("DS_IGNORE_CUDA_DETECTION", "1")  # no search for a CUDA compiler: nothing of DeepSpeed is built


class Engine:
    """A model wrapped by DeepSpeed: data parallel at ZeRO stage 0, sharded from stage 1 on.

    All methods are collective: every rank calls them in the same order.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        optimizer: torch.optim.Optimizer,
        config: dict[str, Any],
        group: Group,
        gradient_clip: float | None,
        averages: bool = False,
    ) -> None:
        """`averages`: the optimizer keeps an average of the weights, see `averaging`."""
        deepspeed = _import_deepspeed(group.device)
        self._group = group
        self._gather = deepspeed.zero.GatheredParameters
        self._engine, *_ = deepspeed.initialize(
            model=model, optimizer=optimizer, config=config, dist_init_required=False
        )
        self._stage: int = config["zero_optimization"]["stage"]
        learning = (name for name, parameter in model.named_parameters() if parameter.requires_grad)
        layers = dict.fromkeys(map(fragments.layer_of, learning))
        self._layers = {layer: number for number, layer in enumerate(layers)}
        self._averages = averages
        norms = [each for each in model.modules() if isinstance(each, _BatchNorm) and each.track_running_stats]
        self._still = [norm for norm in norms if norm.weight is not None and not norm.weight.requires_grad]
        self._running = [norm for norm in norms if norm not in self._still]
        self._clips_itself = self._stage == 0
        self._is_alone = self._stage == 0 and group.world_size == 1
        if self._is_alone:
            # DeepSpeed would flatten all gradients, sum them over one worker, and copy them back: a seventh of a step
            # of a small encoder.
            self._engine.enable_backward_allreduce = False
        self._gradient_clip = gradient_clip if gradient_clip is not None else float("inf")

    @property
    def module(self) -> nn.Module:
        """The model itself, for `eval()` and its configuration; call `forward` to run it."""
        return self._engine.module  # type: ignore[no-any-return]

    def train(self) -> None:
        """Have the model run as training has it; batch norm that is frozen normalises as it always has."""
        self.module.train()
        for norm in self._still:
            norm.eval()

    @contextmanager
    def leaving_no_trace(self) -> Iterator[None]:
        """What runs through the model within does not count for its running means."""
        before = {name: buffer.clone() for name, buffer in self.buffers().items()}
        yield
        for name, buffer in self.buffers().items():
            buffer.copy_(before[name])

    def begin_micro_batch(self, *, is_last: bool) -> None:
        """Say, before its forward pass, whether a step follows on this micro batch.

        Only then gradients are exchanged, where the stage allows to wait that long.
        """
        self._engine.set_gradient_accumulation_boundary(is_last)

    def forward(self, **inputs: torch.Tensor) -> Any:
        """Run the model."""
        return self._engine(**inputs)

    def backward(self, loss: torch.Tensor) -> None:
        """Add the gradients of `loss`, whose mean over all ranks is what is to be minimised."""
        self._engine.backward(loss, scale_wrt_gas=False)
        if self._is_alone:
            self._fill_gradients()

    def layer_norms(self) -> dict[str, float]:
        """Return the norm of each layer's gradient, before clipping: after the last backward pass, before the step.

        Every stage and offload, sharded or not: the ranks add up the squares of what they hold.
        """
        held = list(fragments.gradients(self.module, self._engine.optimizer, stage=self._stage))
        norms = [torch.linalg.vector_norm(gradient, dtype=torch.float32) for _, gradient in held]
        squares = torch.zeros(len(self._layers), dtype=torch.float64)
        if norms:
            layers = torch.tensor([self._layers[fragments.layer_of(name)] for name, _ in held])
            squares.index_add_(0, layers, torch.stack(norms).to("cpu", torch.float64) ** 2)
        if self._stage:
            squares = self._group.sum(squares)
        return dict(zip(self._layers, squares.sqrt().tolist(), strict=True))

    def step(self) -> float:
        """Update the weights and return the norm of the gradient over all weights before clipping.

        A gradient that is not finite changes nothing.
        """
        self._share_running_means()
        norm = self._clip() if self._clips_itself else None
        if norm is not None and not math.isfinite(norm):  # from stage 1 on DeepSpeed leaves such a step out itself
            self._engine.zero_grad()
            return norm
        self._engine.step()
        return float(norm if norm is not None else self._engine.get_global_grad_norm() or 0.0)

    def set_learning_rate(self, learning_rate: float, *, step: int) -> None:
        """Use `learning_rate` for the optimizer step after `step` steps."""
        optimizers.set_rate(self._engine.optimizer, learning_rate, step=step)

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Have the average of the weights in their place, where one is kept; changes nothing that training sees.

        After an exception the average stays there: the attempt is over, and the other ranks would not join in.
        """
        if not self._averages:
            yield
            return
        self._swap()
        yield
        self._swap()

    def weights(self, *, names: Iterable[str]) -> dict[str, torch.Tensor] | None:
        """Return whole copies of the named weights on the CPU at rank 0, None elsewhere.

        One tensor is gathered at a time, so that no rank but the first holds more than one whole tensor.
        """
        wanted = set(names)
        gathered: dict[str, torch.Tensor] = {}
        for name, tensor in self._named_tensors():
            if name in wanted:
                with self._gathered(tensor, modifier_rank=None):
                    if self._group.is_first:
                        gathered[name] = tensor.detach().to("cpu", copy=True)
        return gathered if self._group.is_first else None

    def load_weights(self, read: Callable[[], dict[str, torch.Tensor]]) -> None:
        """Replace weights by what rank 0 reads; the optimizer's own copies stay, so this is for evaluation only."""
        weights = read() if self._group.is_first else {}
        for name, tensor in self._named_tensors():
            with self._gathered(tensor, modifier_rank=0), torch.no_grad():
                if name in weights:
                    tensor.copy_(weights[name])
                if not hasattr(tensor, "ds_id") and self._group.world_size > 1:
                    torch.distributed.broadcast(tensor.data, src=0)

    def fragments(self, *, is_for_writing: bool) -> list[Fragment]:
        """Return views of the training state that this rank holds; for writing, only what no other rank writes."""
        group, optimizer = self._group, self._engine.optimizer
        match self._stage:
            case 0:
                found = fragments.replicated(
                    self.module,
                    optimizer,
                    rank=group.rank,
                    world_size=group.world_size,
                    is_for_writing=is_for_writing,
                )
            case 3:
                found = fragments.sharded_weights(self.module, optimizer, rank=group.rank)
            case _:
                found = fragments.sharded_optimizer(self.module, optimizer)
        return list(found)

    def buffers(self) -> dict[str, torch.Tensor]:
        """Return the buffers that belong to the model's state, as the running means of batch norm."""
        buffers = dict(self.module.named_buffers())
        return {name: buffers[name] for name in self.module.state_dict(keep_vars=True) if name in buffers}

    def num_bytes(self) -> int:
        """Return the size of all weights, wherever they are sharded to, tied ones counted once."""
        return sum(
            getattr(tensor, "ds_numel", tensor.numel()) * tensor.element_size() for _, tensor in self._named_tensors()
        )

    def take_up(self) -> None:
        """Bring the model's weights in line with fragments that were written into."""
        optimizer = self._engine.optimizer
        if self._stage in (1, 2):
            optimizer.update_lp_params()
        if self._stage == 3:
            # What DeepSpeed does at the end of a step.
            optimizer._partition_all_parameters()
            for group in range(len(optimizer.fp32_partitioned_groups_flat)):
                optimizer._reassign_or_swap_out_partitioned_parameters(group)
            if optimizer.persistent_parameters:
                optimizer.persistent_parameters[0].all_gather(optimizer.persistent_parameters)

    def close(self) -> None:
        """Give back what DeepSpeed holds: hooks and buffers keep the model alive otherwise."""
        self._engine.destroy()

    def _swap(self) -> None:
        averaging.swap(self.fragments(is_for_writing=False))
        self.take_up()

    def _named_tensors(self) -> Iterable[tuple[str, torch.Tensor]]:
        """Parameters and saved buffers under the names of the state dict, tied weights once."""
        seen: set[int] = set()
        for name, tensor in self.module.state_dict(keep_vars=True).items():
            if id(tensor) not in seen:
                seen.add(id(tensor))
                yield name, tensor

    def _gathered(self, tensor: torch.Tensor, *, modifier_rank: int | None) -> Any:
        return self._gather([tensor], modifier_rank=modifier_rank, enabled=hasattr(tensor, "ds_id"))

    def _fill_gradients(self) -> None:
        """Do for weights that the loss does not depend on what DeepSpeed's sum does: no gradient is one of zero."""
        for parameter in self.module.parameters():
            if parameter.requires_grad and parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)

    def _share_running_means(self) -> None:
        """Have every worker go on with the mean of what batch norm has seen at each: they see other rows."""
        if not self._running or self._group.world_size == 1:
            return
        both = (buffer for norm in self._running for buffer in (norm.running_mean, norm.running_var))
        held = [buffer for buffer in both if buffer is not None]
        seen = self._group.sum(torch.cat([buffer.float().flatten() for buffer in held])) / self._group.world_size
        for buffer, mean in zip(held, seen.split_with_sizes([buffer.numel() for buffer in held]), strict=True):
            buffer.copy_(mean.view_as(buffer))

    def _clip(self) -> float:
        return float(nn.utils.clip_grad_norm_(self.module.parameters(), self._gradient_clip))


def _import_deepspeed(device: torch.device) -> Any:
    """Import DeepSpeed for the device of this worker, its chatter reduced to warnings."""
    os.environ["DS_ACCELERATOR"] = device.type
    import deepspeed  # the accelerator is chosen at import, so the variable above must be set first
    from deepspeed.runtime import compiler
    from deepspeed.utils import logger

    logger.setLevel(logging.ERROR)
    # DeepSpeed would compile this op for a minute, for a collective of inference that training never calls, and it
    # leaves 64 MB a worker and run in /dev/shm for ever.
    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    # DeepSpeed imports its Muon optimizer beside any other one and puts torch.compile around it, which imports the
    # whole compiler: a second of every worker's start, for a function that no optimizer of ours calls.
    compiler.compile = lambda: compiler.dummy_decorator
    if not deepspeed.comm.is_initialized():
        deepspeed.init_distributed(dist_backend="nccl" if device.type == "cuda" else "gloo")
    return deepspeed
