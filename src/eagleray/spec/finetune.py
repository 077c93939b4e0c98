"""The root of a training document: kind FineTune."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal

from pydantic import ValidationError, model_validator

from eagleray.spec import data_steps, metrics, reported, support, together
from eagleray.spec.base import MAX_NAME, Conflict, ConflictError, Name, Spec, Text
from eagleray.spec.checkpoint import CheckpointSpec
from eagleray.spec.cluster import ClusterSpec
from eagleray.spec.data import DataSpec, PackedSpec
from eagleray.spec.endpoint import EndpointSpec
from eagleray.spec.failures import FailuresSpec
from eagleray.spec.method import FullSpec, MethodSpec
from eagleray.spec.metrics import MetricSpec
from eagleray.spec.model import ModelSpec
from eagleray.spec.monitoring import MonitoringSpec
from eagleray.spec.promote import PromoteSpec
from eagleray.spec.scale import ScaleSpec
from eagleray.spec.schedule import ReduceOnPlateauSpec
from eagleray.spec.self_training import SelfTrainingSpec
from eagleray.spec.stage import StageSpec
from eagleray.spec.sweep import SweepSpec
from eagleray.spec.task import CausalLmSpec, MultiTaskSpec, TaskSpec, TextClassificationSpec
from eagleray.spec.tracking import TrackingSpec
from eagleray.spec.train import TrainSpec
from eagleray.spec.watchdog import WatchdogSpec

API_VERSION: Final = "eagleray.io/v1alpha1"

_WHOLE_MODELS: Final = ("full", "freeze")


class MetadataSpec(Spec):
    """What the document is called."""

    name: Name
    """Runs are called by it (`<name>-0001`): lower-case letters, digits and "-", at most 40 characters."""


class FineTuneSpec(Spec):
    """What to learn, from which data, and at which scale."""

    storage: Text | None = None
    """Where everything is written: a directory, `s3://bucket/prefix`, `gs://…`, `az://…`. Left out: `./runs`."""
    model: ModelSpec
    """The pretrained model that the run starts from."""
    task: TaskSpec
    """What is learned."""
    data: DataSpec
    """The rows to learn from."""
    method: MethodSpec = FullSpec(type="full")
    """Which weights learn."""
    train: TrainSpec = TrainSpec()
    """The training loop."""
    metrics: tuple[MetricSpec, ...] = ()
    """Metrics of your own beside those of the task: of the package `evaluate`, or Python functions."""
    self_training: SelfTrainingSpec | None = None
    """Rows without a label that take part. Left out: labelled rows alone."""
    stages: tuple[StageSpec, ...] = ()
    """What `eagleray up` trains before, in this order: each begins with the model of the one before it, as the
    document's own training does with the last."""
    scale: ScaleSpec = ScaleSpec()
    """The workers, and what DeepSpeed shards over them."""
    checkpoint: CheckpointSpec = CheckpointSpec()
    """When the run is saved, and what stays."""
    failures: FailuresSpec = FailuresSpec()
    """How often the run starts again after its workers have failed."""
    watchdog: WatchdogSpec = WatchdogSpec()
    """When a worker that makes no progress is taken for hung."""
    sweep: SweepSpec | None = None
    """A search for the best values of some of these keys: `eagleray sweep`."""
    promote: PromoteSpec | None = None
    """Which alias the registered model takes over, and when: `eagleray models promote`."""
    endpoint: EndpointSpec | None = None
    """How the model is served: `eagleray serve`."""
    tracking: TrackingSpec | None = None
    """Where runs and versions are told of, beside the storage."""
    monitoring: MonitoringSpec | None = None
    """Metrics for Prometheus while a run or a sweep goes on."""
    cluster: ClusterSpec | None = None
    """What Kubernetes is told: `eagleray render`."""

    @model_validator(mode="after")
    def _parts_fit_together(self) -> FineTuneSpec:
        conflicts = list(_conflicts(self))
        if conflicts:
            raise ConflictError(*conflicts)
        return self

    @property
    def metric_names(self) -> tuple[str, ...]:
        """The numbers that an evaluation reports."""
        return (*self.task.metric_names, *metrics.names(self.metrics if self.task.compares == "rows" else ()))

    @property
    def final_metric_names(self) -> tuple[str, ...]:
        """The numbers that the evaluation of the finished model reports besides."""
        return (*self.task.final_metric_names, *metrics.names(self.metrics if self.task.compares == "texts" else ()))


class FineTune(Spec):
    """A training document."""

    apiVersion: Literal["eagleray.io/v1alpha1"] = API_VERSION
    """The version of this format."""
    kind: Literal["FineTune"]
    """What the document describes."""
    metadata: MetadataSpec
    """What the document is called."""
    spec: FineTuneSpec
    """What to learn, from which data, and at which scale."""

    @model_validator(mode="after")
    def _names_of_stages_fit(self) -> FineTune:
        conflicts = [
            Conflict(
                f"spec.stages[{number}].name", f"its run would be {name}: at most {MAX_NAME} characters, shorten it"
            )
            for number, stage in enumerate(self.spec.stages)
            if len(name := f"{self.metadata.name}-{stage.name}") > MAX_NAME
        ]
        if conflicts:
            raise ConflictError(*conflicts)
        return self


def of_stage(document: FineTune, stage: StageSpec, *, source: str) -> FineTune:
    """The document of a stage's run, which begins with the model at `source`."""
    name = f"{document.metadata.name}-{stage.name}"
    return document.model_copy(
        update={"metadata": MetadataSpec(name=name), "spec": _stage_spec(document.spec, stage, source)}
    )


def beginning_with(document: FineTune, source: str) -> FineTune:
    """The document itself after its stages, which begins with the model of the last."""
    model = document.spec.model.model_copy(update={"source": source})
    return document.model_copy(update={"spec": document.spec.model_copy(update={"stages": (), "model": model})})


def _stage_spec(spec: FineTuneSpec, stage: StageSpec, source: str) -> FineTuneSpec:
    return FineTuneSpec(
        storage=spec.storage,
        model=spec.model.model_copy(update={"source": source}),
        task=stage.task,
        data=stage.data,
        method=stage.method,
        train=stage.train,
        scale=spec.scale,
        checkpoint=spec.checkpoint.model_copy(update={"best_by": None}),
        failures=spec.failures,
        watchdog=spec.watchdog,
        tracking=spec.tracking,
        monitoring=spec.monitoring,
        cluster=spec.cluster,
    )


def _conflicts(spec: FineTuneSpec) -> Iterator[Conflict]:
    yield from together.conflicts(spec.task, data=spec.data, method=spec.method, train=spec.train)
    packed = isinstance(spec.data.batching, PackedSpec)
    if packed and not spec.task.can_be_packed:
        yield Conflict(
            "data.batching.type", f"`packed` is for causal-lm: use `length-grouped` or `plain` for {_what(spec)}"
        )
    called = getattr(spec.task, "problem", spec.task.type)
    yield from together.head_conflicts(spec.task, spec.train, place="task", called=called)
    yield from support.conflicts(
        model=spec.model,
        task=spec.task,
        method=spec.method,
        data=spec.data,
        train=spec.train,
        scale=spec.scale,
    )
    if spec.train.mixup and spec.failures.skip_bad_samples:
        yield Conflict(
            "failures.skip_bad_samples", "does not go with train.mixup, where two samples are one: set it to false"
        )
    yield from data_steps.conflicts(spec.data, spec.task)
    yield from data_steps.loss_conflicts(spec.train, spec.task)
    if spec.self_training is not None:
        yield from _self_training_conflicts(spec)
    yield from _metric_conflicts(spec)
    yield from _stage_conflicts(spec)
    yield from _scale_conflicts(spec.scale, "scale", global_batch_size=spec.train.global_batch_size)


def _stage_conflicts(spec: FineTuneSpec) -> Iterator[Conflict]:
    names = [stage.name for stage in spec.stages]
    for number, stage in enumerate(spec.stages):
        place = f"stages[{number}]"
        if stage.name in names[:number]:
            yield Conflict(f"{place}.name", f"another stage is called {stage.name} already: give it a name of its own")
        if stage.method.type not in _WHOLE_MODELS:
            message = f"`{stage.method.type}` leaves an adapter, and what comes next begins with a whole model"
            yield Conflict(f"{place}.method.type", f"{message}: use `full`")
        if stage.train.global_batch_size < spec.scale.num_workers:
            message = f"{stage.train.global_batch_size} is below scale.num_workers {spec.scale.num_workers}"
            yield Conflict(f"{place}.train.global_batch_size", f"{message}: every worker needs a sample a step")
        try:
            _stage_spec(spec, stage, spec.model.source)
        except ValidationError as error:
            causes = (details.get("ctx", {}).get("error") for details in error.errors())
            found = [each for cause in causes if isinstance(cause, ConflictError) for each in cause.conflicts]
            yield from (Conflict(f"{place}.{each.path}", each.message) for each in found if each.path[:5] != "scale")


def _what(spec: FineTuneSpec) -> str:
    return "pairs of answers" if isinstance(spec.task, CausalLmSpec) else spec.task.type


def _scale_conflicts(scale: ScaleSpec, place: str, *, global_batch_size: int) -> Iterator[Conflict]:
    if global_batch_size < scale.num_workers:
        yield Conflict(
            f"{place}.num_workers",
            f"{scale.num_workers} workers are more than train.global_batch_size {global_batch_size}: "
            "every worker needs at least one sample a step",
        )


def _self_training_conflicts(spec: FineTuneSpec) -> Iterator[Conflict]:
    is_tagging = spec.task.type == "token-classification"
    if not is_tagging and not (isinstance(spec.task, TextClassificationSpec) and spec.task.problem == "single-label"):
        yield Conflict(
            "self_training",
            "is for text-classification with one label a row, and for token-classification: leave it out",
        )
    is_soft = spec.self_training is not None and spec.self_training.labels == "soft"
    if is_soft and is_tagging:
        yield Conflict("self_training.labels", "`soft` is for text-classification: tags are learned `hard`")
    if is_soft and not spec.train.loss.is_plain:
        yield Conflict("self_training.labels", "`soft` rows have no one label that train.loss could weigh: use `hard`")
    if spec.sweep is not None:
        yield Conflict("self_training", "a sweep does not go with it: search first, then train with the best values")
    plain = DataSpec(train=spec.data.train)
    for key in ("language", "train_languages", "few_shot", "balance", "augment"):
        if getattr(spec.data, key) != getattr(plain, key):
            message = "does not go with self_training, whose students are given the rows of their teacher: leave it out"
            yield Conflict(f"data.{key}", message)


def _metric_conflicts(spec: FineTuneSpec) -> Iterator[Conflict]:
    reports = (*spec.task.metric_names, *spec.task.final_metric_names, *reported.FOOTPRINT)
    yield from metrics.conflicts(spec.metrics, reports, task=spec.task)
    known = spec.metric_names
    schedule = spec.train.schedule
    asked = {
        "checkpoint.best_by": spec.checkpoint.best_by,
        "train.early_stopping": spec.train.early_stopping,
        "train.schedule": schedule if isinstance(schedule, ReduceOnPlateauSpec) else None,
    }
    for path, by in asked.items():
        if by is not None:
            yield from metrics.unknown(f"{path}.metric", by.metric, known)
    yield from _gate_conflicts(spec, (*known, *spec.final_metric_names))
    if spec.sweep is None:
        return
    if spec.sweep.objectives and all(each.metric in reported.FOOTPRINT for each in spec.sweep.objectives):
        yield Conflict("sweep.objectives", f"training changes none of them: add one of {', '.join(known)}")
    yield from _final_conflicts(spec)
    if spec.scale.min_workers is not None:
        yield Conflict("scale.min_workers", "a trial of a sweep takes all its workers: leave it out")
    for section in ("objectives", "constraints"):
        for number, each in enumerate(getattr(spec.sweep, section)):
            yield from metrics.unknown(f"sweep.{section}[{number}].metric", each.metric, (*known, *reported.FOOTPRINT))


def _gate_conflicts(spec: FineTuneSpec, known: tuple[str, ...]) -> Iterator[Conflict]:
    when = spec.promote.when if spec.promote is not None else None
    if when is not None:
        yield from metrics.unknown("promote.when.metric", when.metric, known)


def _final_conflicts(spec: FineTuneSpec) -> Iterator[Conflict]:
    final = spec.sweep.final if spec.sweep else None
    if final is None:
        return
    if final.scale is not None:
        yield from _scale_conflicts(final.scale, "sweep.final.scale", global_batch_size=spec.train.global_batch_size)
    if not final.with_validation:
        return
    place, instead = "sweep.final.with_validation", "or set it to false"
    if isinstance(spec.task, MultiTaskSpec):
        yield Conflict(place, "is for a document with one task: set it to false")
        return
    if isinstance(spec.train.schedule, ReduceOnPlateauSpec):
        yield Conflict(place, f"then nothing is evaluated that train.schedule could go by: choose another, {instead}")
    if spec.data.test is None:
        yield Conflict(place, f"then only test rows could judge the model: give data.test, {instead}")
    if spec.data.validation.fraction is None:
        yield Conflict(place, f"needs the validation rows to be a `fraction` of the training rows, {instead}")
