"""What does a forward and backward pass hold beside the weights? Traced with tensors that have shapes and no memory.

Formulas for it (Korthikanti et al. 2022, arXiv:2205.05198) are of one architecture each. Here the model itself runs, on
torch's fake tensors: every operation tells the shapes of what it makes, and what autograd keeps of them lives as long
as it would. So adapters, gradient checkpointing and the logits of a language model are in it, for any architecture.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

Batch = dict[str, torch.Tensor]


@dataclass(frozen=True, slots=True)
class Trace:
    """Bytes of one micro batch."""

    rows: int
    activations: int  # the most that lives at once, gradients of weights left out
    with_gradients: int  # the same with the gradients that are there by then


def trace(
    model: nn.Module,
    batch: Batch,
    *,
    loss: Callable[..., tuple[Any, Any]],
    attention_drops: bool,
    learns: bool = True,
) -> Trace:
    """Run a forward and a backward pass of a model on the meta device, whose weights become fake ones for good.

    `batch` has the shapes of a real one; `loss(forward, batch)` is the task's. Attention runs in one kernel, which
    keeps no scores; where it drops some of them, only if the device has such a kernel (`attention_drops`): GPUs do.
    Without `learns` it is a forward pass that keeps nothing for a backward one.
    """
    fake = FakeTensorMode()
    _fake_weights(model, fake)
    model.train(learns)
    weights = [*model.parameters(), *model.buffers()]
    faked = {name: fake.from_tensor(tensor) for name, tensor in batch.items()}
    live = _Live(known=weights, gradients=[weight for weight in model.parameters() if weight.requires_grad])
    with fake, live, _Kernels(drops=attention_drops), torch.set_grad_enabled(learns):
        total, outputs = loss(model, faked)
        if learns:
            total.backward()
    del outputs
    rows = next(iter(batch.values())).shape[0]
    return Trace(rows=rows, activations=live.peak, with_gradients=live.peak_with_gradients)


def _fake_weights(model: nn.Module, fake: FakeTensorMode) -> None:
    """Fake tensors beside real devices: on the meta device models would ask for values to choose their path by."""
    made: dict[int, torch.Tensor] = {}  # tied weights stay one
    with fake:
        for module in model.modules():
            for name, weight in module._parameters.items():
                if weight is not None and id(weight) not in made:
                    empty = torch.empty(weight.shape, dtype=weight.dtype)
                    made[id(weight)] = nn.Parameter(empty, requires_grad=weight.requires_grad)
                module._parameters[name] = None if weight is None else made[id(weight)]  # type: ignore[assignment]
            for name, buffer in module._buffers.items():
                if buffer is not None:
                    module._buffers[name] = torch.empty(buffer.shape, dtype=buffer.dtype)
        # peft keeps the numbers of a prompt's tokens in a dict, neither weights nor buffers.
        prompts: dict[str, torch.Tensor] = getattr(model, "prompt_tokens", {})
        prompts.update({name: torch.empty(tokens.shape, dtype=tokens.dtype) for name, tokens in prompts.items()})


class _Live(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Adds up the memory that operations make, and takes off what is let go."""

    def __init__(self, *, known: Iterable[torch.Tensor], gradients: Iterable[nn.Parameter]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._known = {tensor.untyped_storage()._cdata for tensor in known}
        self._learning = list(gradients)
        self._now = 0
        self._gradients = 0
        self.peak = 0
        self.peak_with_gradients = 0
        for weight in self._learning:
            weight.register_post_accumulate_grad_hook(self._has_gradient)  # type: ignore[no-untyped-call]

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation."""
        made = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, torch.Tensor):
                self._add(tensor.untyped_storage())
        return made

    def _add(self, storage: torch.UntypedStorage) -> None:
        key = storage._cdata
        if key in self._known:
            return
        self._known.add(key)
        size = storage.nbytes()
        self._now += size
        self._look()
        weakref.finalize(storage, self._drop, key, size)

    def _drop(self, key: int, size: int) -> None:
        self._known.discard(key)
        self._now -= size

    def _has_gradient(self, weight: torch.Tensor) -> None:
        gradient = weight.grad
        self._gradients += 0 if gradient is None else gradient.untyped_storage().nbytes()

    def _look(self) -> None:
        self.peak = max(self.peak, self._now - self._gradients)
        self.peak_with_gradients = max(self.peak_with_gradients, self._now)


class _Kernels(TorchFunctionMode):
    """Chooses as real tensors would, where a fake one has no answer or another."""

    def __init__(self, *, drops: bool) -> None:
        super().__init__()
        self._drops = drops

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run a function of torch."""
        kwargs = kwargs or {}
        if func is nn.functional.scaled_dot_product_attention:
            return _attention(func, *args, drops=self._drops, **kwargs)
        if func is torch.Tensor.__getitem__ and _is_mask(args[1]):
            return _all_of(args[0], args[1].dim())
        return func(*args, **kwargs)


def _attention(func: Any, query: Any, key: Any, value: Any, *, drops: bool, **options: Any) -> Any:
    """Fake tensors would take the path that keeps all scores: (batch, heads, length, length)."""
    if options.get("dropout_p") and not drops:
        return func(query, key, value, **options)
    mask = options.get("attn_mask")
    if mask is not None and mask.requires_grad:  # T5 learns its positions in there: no kernel gives it a gradient
        return func(query, key, value, **options)
    repeats = query.shape[1] // key.shape[1]
    if repeats > 1:  # the kernel of the CPU reads grouped heads as they are
        key, value = (tensor[:, :1].expand(-1, query.shape[1], -1, -1) for tensor in (key, value))
    kernel = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    return kernel(query, key, value, 0.0, bool(options.get("is_causal")) and mask is None, attn_mask=mask)[0]


def _is_mask(index: Any) -> bool:
    return isinstance(index, torch.Tensor) and index.dtype == torch.bool


def _all_of(tensor: torch.Tensor, dims: int) -> torch.Tensor:
    """What a mask chooses where it is true everywhere: a copy with `dims` dimensions laid end to end."""
    flat = tensor.flatten(0, dims - 1)
    return flat.index_select(0, torch.arange(flat.shape[0], device=tensor.device))
