"""The DeepSpeed configuration for each stage and precision."""

from __future__ import annotations

from typing import Any, Literal

import pytest

from eagleray.spec.scale import ZeroSpec
from eagleray.train.deepspeed_config import build


def _build(zero: ZeroSpec, precision: Literal["fp32", "bf16"] = "fp32", clip: float | None = 1.0) -> dict[str, Any]:
    return build(zero, world_size=4, precision=precision, gradient_clip=clip)


@pytest.mark.parametrize(
    ("zero", "expected"),
    [
        (ZeroSpec(), {"stage": 0}),
        (ZeroSpec(stage=1), {"stage": 1, "contiguous_gradients": True}),
        (ZeroSpec(stage=2), {"stage": 2, "contiguous_gradients": True, "overlap_comm": False}),
        (
            ZeroSpec(stage=3, offload_optimizer=True, offload_parameters=True),
            {
                "stage": 3,
                "stage3_param_persistence_threshold": 10_000,
                "offload_optimizer": {"device": "cpu"},
                "offload_param": {"device": "cpu"},
            },
        ),
    ],
    ids=["0", "1", "2", "3 offloaded"],
)
def test_zero_section(zero: ZeroSpec, expected: dict[str, Any]) -> None:
    assert _build(zero)["zero_optimization"] == expected


@pytest.mark.parametrize(("stage", "expected"), [(0, None), (1, False), (2, False), (3, None)])
def test_no_second_copy_of_gradients_on_a_cpu(stage: Any, expected: bool | None) -> None:
    config = build(ZeroSpec(stage=stage), world_size=2, precision="fp32", gradient_clip=None, on_cpu=True)

    assert config["zero_optimization"].get("reduce_scatter") is expected


@pytest.mark.parametrize(
    ("stage", "precision", "clip", "expected"),
    [(0, "fp32", 1.0, 0.0), (0, "bf16", 1.0, 1.0), (2, "fp32", 0.5, 0.5), (2, "fp32", None, 0.0)],
    ids=["the engine clips itself", "bf16", "sharded", "off"],
)
def test_who_clips(stage: Any, precision: Any, clip: float | None, expected: float) -> None:
    assert _build(ZeroSpec(stage=stage), precision, clip)["gradient_clipping"] == expected


def test_bf16_never_runs_at_stage_0() -> None:
    config = _build(ZeroSpec(), "bf16")

    assert config["zero_optimization"]["stage"] == 1
    assert config["data_types"] == {"grad_accum_dtype": "fp32"}


def test_batch_sizes_agree() -> None:
    config = _build(ZeroSpec(stage=2))

    assert (
        config["train_batch_size"]
        == config["train_micro_batch_size_per_gpu"] * config["gradient_accumulation_steps"] * 4
    )
