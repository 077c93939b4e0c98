"""How much memory does a worker hold, by ZeRO stage and offload? A formula over counts, for the engine as configured.

What is sharded by which stage is Rajbhandari et al. 2019 (arXiv:1910.02054, section 5); what DeepSpeed holds besides is
read in its source (0.19.8, `runtime/zero`) and in a worker's resident memory (`bench/plan_accuracy.py`). In bytes, with
N weights of b bytes, of which L learn, over W workers, and an optimizer that keeps m moments:

    stage 0   N b | gradients L b, and once more as one flat tensor for the all-reduce | L 4 m
    stage 1   N b, of which the learning ones flat | gradients L 4, and L b where b is not 4; a bucket, and once more
              as one flat tensor | L/W 4 (1 + m)
    stage 2   the same with gradients of L/W 4
    stage 3   N/W b, whole weights while they are used (at most 1e9), those fetched ahead (5e7) once more | a bucket
              that stays, gradients L/W 4 twice | L/W 4 m, and fp32 weights L/W 4 where b is not 4 already

A bucket is 5e8 weights. On the CPU only what is written of it takes memory, on a GPU all of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

PROCESS_BYTES = 526 * 2**20
"""Resident once torch, transformers and DeepSpeed are imported (2.13, 5.23, 0.19.8): measured, whatever the model."""
FIRST_STEP_BYTES = 48 * 2**20
"""Grown besides by a run of a model of a few thousand weights: tokenizer, code that is used, collectives."""
BUCKET = 500_000_000
"""DeepSpeed's reduce_bucket_size and allgather_bucket_size, in weights: its defaults, which we leave."""
KEPT_OF_ACTIVATIONS, KEPT_OF_GATHERED, KEPT_OF_GRADIENTS = 0.35, 0.95, 0.75
"""On a CPU: what the allocator keeps besides of freed blocks, because the next ones are of other sizes. Fitted to the
resident memory of workers on two machines, which grows within some steps (`bench/plan_accuracy.py`)."""
MAX_LIVE = 1_000_000_000
"""DeepSpeed's stage3_max_live_parameters: so many whole weights may wait for their next use."""
PREFETCH = 50_000_000
"""DeepSpeed's stage3_prefetch_bucket_size: what is fetched ahead lies in one flat tensor until all of it is used."""
FP32 = 4

Stage = Literal[0, 1, 2, 3]


@dataclass(frozen=True, slots=True)
class Packed:
    """Frozen weights in four bits, and the scales of their blocks (Dettmers et al. 2023, arXiv:2305.14314)."""

    weights: int
    bytes: int
    unpacked_bytes: int  # of the largest matrix, which is there whole while it is used


@dataclass(frozen=True, slots=True)
class Counts:
    """What of a model its memory follows from."""

    parameters: int  # tied ones once
    learning: int
    weight_bytes: int  # of one weight in the engine: 4 or 2
    num_moments: int  # fp32 numbers that the optimizer keeps for each learning weight
    packed: Packed | None = None  # weights that are held in fewer bits


@dataclass(frozen=True, slots=True)
class Layout:
    """How the state is laid over workers."""

    stage: Stage
    world_size: int
    offload_optimizer: bool = False
    offload_parameters: bool = False
    on_cpu: bool = True


@dataclass(frozen=True, slots=True)
class Pass:
    """Bytes of a forward and backward pass beside the weights; see `activations.trace`."""

    activations: int
    with_gradients: int  # at most, gradients of the pass among them


@dataclass(frozen=True, slots=True)
class Budget:
    """Bytes of the worker that holds most, the first. On a GPU what is in its memory; `host` is what lies beside."""

    process: int
    weights: int
    gathered: int
    gradients: int
    optimizer: int
    buffers: int
    activations: int
    checkpoint: int  # copies that are on their way to the storage
    peak: int
    host: int


def of_worker(
    counts: Counts,
    layout: Layout,
    one_pass: Pass,
    *,
    accumulates: bool,
    saves_while_training: bool = True,
    before_bytes: int = 0,
) -> Budget:
    """Return what the worker holds at its peak, and what that is made of.

    `accumulates`: a step has several micro batches, so that gradients are there while activations are. A checkpoint is
    copied at once and uploaded beside training; `saves_while_training` is False where only the last step has one.
    `before_bytes` are held beside the whole model before it is sharded.
    """
    n, learning, b = counts.parameters, counts.learning, counts.weight_bytes
    share = -(-learning // layout.world_size)
    state = _optimizer(counts, layout, share)
    held = held_bytes(counts)
    weights = -(-held // layout.world_size) if layout.stage == 3 else held
    gathered = (min(n, MAX_LIVE) + min(n, PREFETCH)) * b if layout.stage == 3 else 0
    gathered += counts.packed.unpacked_bytes if counts.packed else 0
    gathered = _with_kept(gathered, KEPT_OF_GATHERED, layout)
    activations = _with_kept(one_pass.activations, KEPT_OF_ACTIVATIONS, layout)
    kept, passing = _gradients(counts, layout, share)
    bucket = 0 if layout.stage == 0 else (min(BUCKET, learning) if layout.on_cpu else BUCKET) * b
    lasting_bucket = bucket if layout.stage == 3 or not layout.on_cpu else 0
    flat = min(BUCKET, learning) * b if layout.world_size > 1 and layout.stage < 3 else 0
    checkpoint = share * FP32 * (1 + counts.num_moments) + (n if learning == n else learning) * b
    process = PROCESS_BYTES + FIRST_STEP_BYTES

    host = 0
    if not layout.on_cpu:
        host = process + checkpoint + held  # every worker loads the whole model before it is sharded
        process = 0
        if layout.offload_optimizer:
            host, state, kept = host + state + kept, 0, 0
        if layout.offload_parameters:
            host, weights = host + weights, 0
    elif layout.offload_optimizer:
        state += share * b  # on the way back to the weights, though it be the same memory
    standing = weights + state + kept + lasting_bucket
    backward = activations + (passing if accumulates else one_pass.with_gradients - one_pass.activations)
    reducing = flat + _with_kept(passing + bucket - lasting_bucket, KEPT_OF_GRADIENTS, layout)
    moving = max(gathered + backward, reducing)
    copies = 0 if not layout.on_cpu else checkpoint
    loading = held + (weights if layout.stage == 3 else learning * b if layout.stage else 0)
    training = standing + (moving + copies if saves_while_training else max(moving, copies))
    return Budget(
        process=process,
        weights=weights,
        gathered=gathered,
        gradients=kept + passing,
        optimizer=state,
        buffers=bucket + flat,
        activations=activations,
        checkpoint=copies,
        peak=process + max(training, loading if layout.on_cpu else 0, held + before_bytes if before_bytes else 0),
        host=host,
    )


def held_bytes(counts: Counts) -> int:
    """Return what all weights take where nothing shards them."""
    packed = counts.packed
    if packed is None:
        return counts.parameters * counts.weight_bytes
    return (counts.parameters - packed.weights) * counts.weight_bytes + packed.bytes


def checkpoint_bytes(counts: Counts, *, other_files: int) -> int:
    """Return the size of one checkpoint: the state of all workers, the model or its adapter, and `other_files`.

    The state is the learning weights and their moments in fp32, whatever the stage; frozen weights are not in it.
    """
    state = counts.learning * FP32 * (1 + counts.num_moments)
    return state + exported_bytes(counts) + other_files


def exported_bytes(counts: Counts) -> int:
    """Return the size of the weights that are written for use: all of them, or what learned of an adapted model."""
    num = counts.parameters if counts.learning == counts.parameters else counts.learning
    return num * counts.weight_bytes


def _with_kept(size: int, share: float, layout: Layout) -> int:
    """With what a CPU's allocator keeps of it once it is freed."""
    return round(size * (1 + share)) if layout.on_cpu else size


def _optimizer(counts: Counts, layout: Layout, share: int) -> int:
    """Moments, and the fp32 weights that are stepped where they are not the model's own."""
    if layout.stage == 0:
        return counts.learning * FP32 * counts.num_moments
    has_own_weights = layout.stage < 3 or counts.weight_bytes != FP32 or layout.offload_optimizer
    return share * FP32 * (counts.num_moments + has_own_weights)


def _gradients(counts: Counts, layout: Layout, share: int) -> tuple[int, int]:
    """Gradients that stay from step to step, and those that come and go with one."""
    whole = counts.learning * counts.weight_bytes
    match layout.stage:
        case 0:
            return 0, whole
        case 1:
            own = whole if counts.weight_bytes != FP32 else 0
            return 0, counts.learning * FP32 + own
        case 2:
            return 0, share * FP32
        case 3:
            return 2 * share * FP32, 0
