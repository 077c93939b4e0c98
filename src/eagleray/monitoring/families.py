"""Which metrics does eagleray tell Prometheus, under which names and labels?

One scheme: `eagleray_`, who tells it (train, sweep, endpoint), what it is, its base unit (`_seconds`, `_ratio`;
counts have none), `_total` for what only grows. The code takes the names from these tables, and a test holds that
`cluster/monitoring` knows no others.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Kind = Literal["gauge", "counter", "histogram"]

LATENCY_S = (0.002, 0.005, 0.01, 0.02, 0.035, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 5, 10, 30)
"""Bounds of the buckets of what takes seconds; an objective for the latency has to be one of them."""
BATCH_INPUTS = (1, 2, 4, 8, 16, 32, 64)


@dataclass(frozen=True, slots=True)
class Family:
    """A metric: all its series have these labels."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...]
    buckets: tuple[float, ...] = ()  # of a histogram

    @property
    def series(self) -> tuple[str, ...]:
        """The names that a query may ask for."""
        if self.kind == "histogram":
            return tuple(f"{self.name}_{part}" for part in ("bucket", "sum", "count"))
        return (self.name,)


@dataclass(frozen=True, slots=True)
class Sample:
    """A value of a family, with the values of its labels in their order."""

    family: Family
    labels: tuple[str, ...]
    value: float


def _table(prefix: str, common: tuple[str, ...], families: Iterable[Family]) -> dict[str, Family]:
    return {
        each.name: Family(f"eagleray_{prefix}_{each.name}", each.kind, each.help, (*common, *each.labels), each.buckets)
        for each in families
    }


def _gauge(name: str, help_text: str, *labels: str) -> Family:
    return Family(name, "gauge", help_text, labels)


def _counter(name: str, help_text: str, *labels: str) -> Family:
    return Family(name, "counter", help_text, labels)


def _histogram(name: str, buckets: tuple[float, ...], help_text: str, *labels: str) -> Family:
    return Family(name, "histogram", help_text, labels, buckets)


_OF_A_RUN = ("name", "run")  # a document's name, and the run's id

TRAIN = _table(
    "train",
    _OF_A_RUN,
    (
        _gauge("phase", "1 for what the run is doing now, or for how it has ended; 0 for everything else.", "phase"),
        _gauge("step", "Optimizer steps done; goes back where a restart repeats some."),
        _gauge("planned_steps", "Optimizer steps of the whole run."),
        _gauge("epoch", "The pass over the data that is going on; 0 in the first."),
        _gauge("loss", "Mean training loss of the last steps."),
        _gauge("learning_rate", "Learning rate of the last step."),
        _gauge("samples_per_second", "Samples trained a second, over all workers."),
        _gauge("tokens_per_second", "Tokens trained a second without padding, over all workers."),
        _gauge("padding_ratio", "Share of padding in what was computed."),
        _gauge("validation", "Metric of the last evaluation on the validation split.", "metric"),
        _gauge("best_validation", "The metric that ranks checkpoints, at its best so far.", "metric", "mode"),
        _counter("restarts_total", "Starts of the workers after the first, by what ended the ones before.", "reason"),
        _counter("checkpoints_total", "Checkpoints that are whole on the storage."),
        _counter("checkpoint_bytes_total", "Bytes written for checkpoints."),
        _counter("stall_seconds_total", "Time that training stood still for checkpoints."),
        _counter("useful_seconds_total", "Time in steps that count, since this process drives the run."),
        _gauge("goodput_ratio", "Share of the time since this process drives the run that went into steps that count."),
        _gauge("started_timestamp_seconds", "When this process began to drive the run."),
        _gauge("progress_timestamp_seconds", "When the run last gave a sign of progress."),
    ),
)
"""By the part of the name after `eagleray_train_`. Told by the process that drives a run, of that run alone."""

SWEEP = _table(
    "sweep",
    _OF_A_RUN,
    (
        _gauge("phase", "1 for what the sweep is doing now, or for how it has ended; 0 for everything else.", "phase"),
        _gauge("trials", "Trials in each state.", "state"),
        _gauge("planned_trials", "Trials that the budget allows; not told where it has no such bound."),
        _counter("steps_total", "Optimizer steps done in all trials, repeated ones included."),
        _counter("device_seconds_total", "CPUs or GPUs taken by trials, times for how long."),
        _gauge("best_objective", "Objective of the best trial so far.", "metric", "mode"),
        _gauge("started_timestamp_seconds", "When this process began to drive the sweep."),
        _gauge("progress_timestamp_seconds", "When a trial last told something new."),
    ),
)
"""By the part of the name after `eagleray_sweep_`. Told by the process that drives a sweep, of that sweep alone."""

ENDPOINT = _table(
    "endpoint",
    (),
    (
        _gauge("replicas", "Replicas that gave a sign of life."),
        _counter("requests_total", "Requests answered.", "replica", "route", "status", "model", "version"),
        _histogram("request_seconds", LATENCY_S, "From the first byte to the last.", "replica", "route"),
        _histogram("queue_seconds", LATENCY_S, "An input's wait for its batch.", "replica", "model"),
        _histogram("model_seconds", LATENCY_S, "A batch in the model.", "replica", "model"),
        _histogram("batch_inputs", BATCH_INPUTS, "Inputs in a batch.", "replica", "model"),
        _counter("tokens_total", "Tokens: read, padding, generated.", "replica", "model", "kind"),
        _gauge("model_version", "Version that a model name is answered by.", "replica", "model", "role"),
    ),
)
"""By the part of the name after `eagleray_endpoint_`. Any replica tells it of all replicas of its endpoint."""

ALL = (*TRAIN.values(), *SWEEP.values(), *ENDPOINT.values())
