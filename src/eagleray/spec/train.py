"""How the weights learn: steps, optimizer, schedule, precision."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from eagleray.spec.base import Conflict, ConflictError, Spec, Text

Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, lt=1)]


class AdamWSpec(Spec):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2017, arXiv:1711.05101), fused where torch offers it."""

    type: Literal["adamw"]
    """The optimizer."""
    beta1: Share = 0.9
    """Decay of the mean of the gradient."""
    beta2: Share = 0.999
    """Decay of the mean of its square."""
    epsilon: Positive = 1e-8
    """Added to the denominator, against division by zero."""


class AdamSpec(Spec):
    """Adam (Kingma and Ba 2014, arXiv:1412.6980); weight decay is an L2 term of the loss."""

    type: Literal["adam"]
    """The optimizer."""
    beta1: Share = 0.9
    """Decay of the mean of the gradient."""
    beta2: Share = 0.999
    """Decay of the mean of its square."""
    epsilon: Positive = 1e-8
    """Added to the denominator, against division by zero."""


class RmspropSpec(Spec):
    """RMSprop (Hinton 2012, lecture 6e)."""

    type: Literal["rmsprop"]
    """The optimizer."""
    decay: Share = 0.99
    """Decay of the mean of the squared gradient."""
    momentum: Share = 0.0
    """Share of the last update that is kept."""
    epsilon: Positive = 1e-8
    """Added to the denominator, against division by zero."""


class SgdSpec(Spec):
    """Stochastic gradient descent."""

    type: Literal["sgd"]
    """The optimizer."""
    momentum: Share = 0.0
    """Share of the last update that is kept."""
    nesterov: bool = False
    """Look ahead along the momentum."""

    @model_validator(mode="after")
    def _nesterov_needs_momentum(self) -> SgdSpec:
        if self.nesterov and not self.momentum:
            raise ConflictError(Conflict("nesterov", "needs a momentum, this is 0: set `momentum: 0.9`"))
        return self


OptimizerSpec = Annotated[AdamWSpec | AdamSpec | RmspropSpec | SgdSpec, Field(discriminator="type")]


class _Warmup(Spec):
    type: str  # narrowed by each schedule; here so that it comes first
    warmup: Share = 0.0
    """Share of all steps in which the rate rises linearly from zero."""
    warmup_steps: Annotated[int, Field(ge=0)] = 0
    """The same as a number of optimizer steps."""

    @model_validator(mode="after")
    def _one_warmup(self) -> _Warmup:
        if self.warmup and self.warmup_steps:
            message = "`warmup` (a fraction) and `warmup_steps` exclude each other: keep the one you mean"
            raise ConflictError(Conflict("warmup_steps", message))
        return self


class ConstantSpec(_Warmup):
    """The same rate after the warmup."""

    type: Literal["constant"]
    """The shape of the learning rate over the run."""


class LinearSpec(_Warmup):
    """A straight line down to zero at the last step."""

    type: Literal["linear"]
    """The shape of the learning rate over the run."""


class CosineSpec(_Warmup):
    """Half a cosine down to `final` of the rate."""

    type: Literal["cosine"]
    """The shape of the learning rate over the run."""
    final: Share = 0.0
    """Where the rate ends, as a share of `learning_rate`."""


class CosineWithRestartsSpec(_Warmup):
    """Several half cosines, each from the full rate (Loshchilov and Hutter 2016, arXiv:1608.03983)."""

    type: Literal["cosine-with-restarts"]
    """The shape of the learning rate over the run."""
    cycles: Annotated[int, Field(ge=1)] = 2
    """How often the shape repeats over the run."""


class CyclicalSpec(_Warmup):
    """A triangle between `low` of the rate and the rate (Smith 2015, arXiv:1506.01186)."""

    type: Literal["cyclical"]
    """The shape of the learning rate over the run."""
    cycles: Annotated[int, Field(ge=1)] = 2
    """How often the shape repeats over the run."""
    low: Share = 0.1
    """The lower end of the triangle, as a share of `learning_rate`."""


class PolynomialSpec(_Warmup):
    """(1 - progress) ** power, down to `final` of the rate."""

    type: Literal["polynomial"]
    """The shape of the learning rate over the run."""
    power: Positive = 2.0
    """1 is a straight line; more falls faster at first."""
    final: Share = 0.0
    """Where the rate ends, as a share of `learning_rate`."""


class OneCycleSpec(Spec):
    """Up from `low` of the rate to the rate, then down to `final`, both along half cosines (Smith and Topin 2017,
    arXiv:1708.07120)."""

    type: Literal["one-cycle"]
    """The shape of the learning rate over the run."""
    rise: Annotated[float, Field(gt=0, lt=1)] = 0.3
    """Share of all steps in which the rate rises."""
    low: Share = 0.04
    """Where the rate begins, as a share of `learning_rate`."""
    final: Share = 0.0
    """Where the rate ends, as a share of `learning_rate`."""


class PlateauSpec(_Warmup):
    """The same rate until a validation metric has not improved for a while, then `factor` of it."""

    type: Literal["reduce-on-plateau"]
    """The shape of the learning rate over the run."""
    metric: Text = "loss"
    """A metric of the task on the validation split."""
    mode: Literal["max", "min"] = "min"
    """`max`: higher is better, as for accuracy. `min`: lower is better, as for a loss."""
    patience: Annotated[int, Field(ge=1)] = 2
    """After how many evaluations in a row without an improvement the rate falls."""
    min_delta: NotNegative = 0.0
    """The least change of the metric that counts as an improvement."""
    factor: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """What is left of the rate each time."""
    final: Share = 0.0
    """The rate never falls below this share of `learning_rate`."""


ScheduleSpec = Annotated[
    ConstantSpec
    | LinearSpec
    | CosineSpec
    | CosineWithRestartsSpec
    | CyclicalSpec
    | PolynomialSpec
    | OneCycleSpec
    | PlateauSpec,
    Field(discriminator="type"),
]


class EmaSpec(Spec):
    """An average in which each step's weights fade exponentially."""

    type: Literal["ema"]
    """How the weights of the steps are averaged."""
    decay: Annotated[float, Field(gt=0, lt=1)] = 0.999
    """What stays of the average at each step; less while there were few steps."""


class SwaSpec(Spec):
    """The mean of the weights of the last part of the run (Izmailov et al. 2018, arXiv:1803.05407)."""

    type: Literal["swa"]
    """How the weights of the steps are averaged."""
    start: Share = 0.75
    """Share of all steps after which the average begins; a constant or cyclical schedule suits it."""
    every_steps: Annotated[int, Field(ge=1)] = 1
    """Optimizer steps between two weights that go into it."""


AveragingSpec = Annotated[EmaSpec | SwaSpec, Field(discriminator="type")]


class CrossEntropySpec(Spec):
    """The negative logarithm of the probability of what is true."""

    type: Literal["cross-entropy"]
    """What is minimised."""
    class_weights: Literal["none", "balanced"] = "none"
    """`balanced`: a label counts rows / (labels * its rows), so that all labels count the same in the end."""
    weights: dict[str, Positive] = Field(default={})
    """What a label counts, `{spam: 4.0}`; one that is not named counts 1."""

    @model_validator(mode="after")
    def _one_kind_of_weights(self) -> CrossEntropySpec:
        _refuse_two_kinds(self.class_weights, self.weights)
        return self

    @property
    def is_plain(self) -> bool:
        """Whether every label counts the same."""
        return self.class_weights == "none" and not self.weights


class FocalSpec(Spec):
    """Cross entropy times (1 - p) ** gamma, p the probability of what is true: what is known already counts little
    (Lin et al. 2017, arXiv:1708.02002)."""

    type: Literal["focal"]
    """What is minimised."""
    gamma: NotNegative = 2.0
    """0 is cross entropy."""
    class_weights: Literal["none", "balanced"] = "none"
    """`balanced`: a label counts rows / (labels * its rows), so that all labels count the same in the end."""
    weights: dict[str, Positive] = Field(default={})
    """What a label counts, `{spam: 4.0}`; one that is not named counts 1."""

    @model_validator(mode="after")
    def _one_kind_of_weights(self) -> FocalSpec:
        _refuse_two_kinds(self.class_weights, self.weights)
        return self

    @property
    def is_plain(self) -> bool:
        """Never: see `CrossEntropySpec`."""
        return False


def _refuse_two_kinds(class_weights: str, weights: dict[str, float]) -> None:
    if class_weights != "none" and weights:
        raise ConflictError(Conflict("weights", "and `class_weights: balanced` exclude each other: keep one of them"))


LossSpec = Annotated[CrossEntropySpec | FocalSpec, Field(discriminator="type")]


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
