"""How the weights learn: steps, optimizer, schedule, precision."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from eagleray.spec.averaging import AveragingSpec
from eagleray.spec.base import NotNegative, Positive, Share, Spec, Text
from eagleray.spec.loss import CrossEntropySpec, LossSpec
from eagleray.spec.optimizer import AdamWSpec, OptimizerSpec
from eagleray.spec.schedule import LinearSpec, ScheduleSpec


class EarlyStoppingSpec(Spec):
    """Stop when a validation metric has not improved for a while."""

    metric: Text
    """A metric of the task on the validation split, as `f1_macro` or `loss`."""
    mode: Literal["max", "min"]
    """`max`: higher is better, as for accuracy. `min`: lower is better, as for a loss."""
    patience: Annotated[int, Field(ge=1)] = 3
    """How many evaluations in a row may pass without an improvement."""
    min_delta: NotNegative = 0.0
    """The least change of the metric that counts as an improvement."""


class TrainSpec(Spec):
    """The training loop: steps, optimizer, schedule, precision."""

    epochs: Annotated[int, Field(ge=1)] = 3
    """How often every training row is used."""
    max_steps: Annotated[int, Field(ge=1)] | None = None
    """Stop after so many optimizer steps, even in mid-epoch; the schedule ends there too."""
    global_batch_size: Annotated[int, Field(ge=1)] = 32
    """Samples an optimizer step uses over all workers and accumulated micro batches."""
    micro_batch_size: Annotated[int, Field(ge=1)] | Literal["auto"] = "auto"
    """Samples a worker holds in memory at once; `auto` measures what fits before the first step."""
    learning_rate: Positive = 5e-5
    """The highest rate, reached after the warmup."""
    optimizer: OptimizerSpec = AdamWSpec(type="adamw")
    """How gradients become updates."""
    weight_decay: NotNegative = 0.01
    """Pull of the weights towards zero. Not applied to norms and biases."""
    l1: NotNegative = 0.0
    """Factor of the sum of absolute weights in the loss, norms and biases apart: draws weights to exactly zero."""
    l2: NotNegative = 0.0
    """Factor of half the sum of squared weights in the loss. Unlike AdamW's `weight_decay` it goes through the
    moments."""
    layer_decay: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Each layer learns at this factor of the rate of the layer above it; the head at the whole rate."""
    schedule: ScheduleSpec = LinearSpec(type="linear", warmup=0.1)
    """The shape of the learning rate over the run."""
    gradient_clip: Positive | None = 1.0
    """Largest norm of the gradient over all weights; null for none."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """Type of weights and activations in the forward and backward pass; `bf16` keeps fp32 master weights."""
    gradient_checkpointing: bool = False
    """Compute activations again in the backward pass: less memory, about a third more time."""
    loss: LossSpec = CrossEntropySpec(type="cross-entropy")
    """What training minimises for one or several labels. Evaluations report cross entropy, whatever is minimised."""
    label_smoothing: Share = 0.0
    """Share of the target that is spread evenly over all classes or tokens."""
    r_drop: NotNegative = 0.0
    """How much two passes of a row under other dropout masks are drawn together (R-Drop, Liang et al. 2021,
    arXiv:2106.14448): for text-classification, at twice the cost of a step."""
    mixup: Annotated[float, Field(ge=0, le=4)] = 0.0
    """Learn from pairs of rows, mixed by a share drawn from Beta(mixup, mixup), 0.2 and about: pixels of images, and of
    texts the embeddings of their words (mixup, Zhang et al. 2018, arXiv:1710.09412). 0: from rows as they are."""
    dropout: Share | None = None
    """Share of the activations that is dropped, wherever the model has a dropout but in its attention. Left out: the
    model's own."""
    attention_dropout: Share | None = None
    """Share of the attention that is dropped. Left out: the model's own."""
    averaging: AveragingSpec | None = None
    """Evaluate, keep and use an average of the weights of many steps instead of the last ones."""
    evaluate_every_steps: Annotated[int, Field(ge=1)] | None = None
    """Optimizer steps between two evaluations, besides the one before each checkpoint."""
    log_every_steps: Annotated[int, Field(ge=1)] = 10
    """Optimizer steps between two records of loss, rate and speed."""
    early_stopping: EarlyStoppingSpec | None = None
    """Left out: train to the end."""
    baselines: bool = False
    """Score the untuned model and the majority class on the test split too, to compare with."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Decides the split, the order of samples, new weights and dropout."""
