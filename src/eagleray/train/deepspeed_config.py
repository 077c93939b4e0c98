"""The DeepSpeed configuration of a run, as plain data."""

from __future__ import annotations

from typing import Any, Literal

from eagleray.spec.scale import ZeroSpec

NEVER = 2**31 - 1
"""A step count no run reaches: DeepSpeed has no other way to say that it shall not print."""


def build(
    zero: ZeroSpec,
    *,
    world_size: int,
    precision: Literal["fp32", "bf16"],
    gradient_clip: float | None,
    on_cpu: bool = False,
) -> dict[str, Any]:
    """Return the configuration for `deepspeed.initialize`.

    The optimizer is not in it: a torch optimizer is handed over, so that nothing is compiled. At stage 0
    DeepSpeed clips without telling the norm, so the engine clips there itself. The loop says itself which micro batch
    is the last of a step, so the batch sizes here are no more than valid; two accumulation steps, because with one
    an offloaded optimizer would not add up the gradients of several.
    """
    stage = effective_stage(zero.stage, precision=precision)
    config: dict[str, Any] = {
        "train_micro_batch_size_per_gpu": 1,
        "gradient_accumulation_steps": 2,
        "train_batch_size": 2 * world_size,
        "gradient_clipping": 0.0 if stage == 0 or gradient_clip is None else gradient_clip,
        "zero_allow_untested_optimizer": True,
        "zero_force_ds_cpu_optimizer": False,
        "steps_per_print": NEVER,
        "zero_optimization": _zero(zero, stage, on_cpu=on_cpu),
    }
    if precision == "bf16":
        config["bf16"] = {"enabled": True}
        config["data_types"] = {"grad_accum_dtype": "fp32"}
    return config


def effective_stage(stage: Literal[0, 1, 2, 3], *, precision: Literal["fp32", "bf16"]) -> Literal[0, 1, 2, 3]:
    """Return the stage that DeepSpeed runs: bf16 at stage 0 runs as stage 1.

    DeepSpeed's own stage 0 for bf16 makes other updates than its stages 1 to 3, which agree with each other: after
    five steps of a small model the losses were 2 % apart. Stage 1 shards the fp32 weights and moments besides.
    """
    return 1 if stage == 0 and precision == "bf16" else stage


def _zero(zero: ZeroSpec, stage: int, *, on_cpu: bool) -> dict[str, Any]:
    section: dict[str, Any] = {"stage": stage}
    if stage in (1, 2):
        section["contiguous_gradients"] = True
        if on_cpu:
            # DeepSpeed's reduce-scatter is an all-reduce and a copy more: 7 % of a step of two gloo workers.
            section["reduce_scatter"] = False
    if stage == 2:
        section["overlap_comm"] = False
    if stage == 3:
        # Layers below this many weights are kept whole: gathering them costs more than it saves.
        section["stage3_param_persistence_threshold"] = 10_000
    if zero.offload_optimizer:
        section["offload_optimizer"] = {"device": "cpu"}
    if zero.offload_parameters:
        section["offload_param"] = {"device": "cpu"}
    return section
