"""Which numbers of the user's own are reported beside those of the task: the section `metrics` of a document."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from eagleray.spec.base import Conflict, InWords, Spec, Text
from eagleray.spec.dimension import Value
from eagleray.spec.task.base import TaskBase

MetricName = Annotated[
    str,
    StringConstraints(pattern="^[a-z][a-z0-9_]*$", max_length=40),
    InWords("a name of at most 40 lower-case letters, digits and `_` that begins with a letter"),
]

_TABLES = ("calibration", "confusion_matrix", "per_class", "per_language")
"""What evaluations report that is no number."""


class _MetricBase(Spec):
    name: MetricName
    """What it is called wherever a metric is named."""
    source: Text
    """Where its code is."""
    result: Text | None = None
    """Which number of several that it returns by name. Left out: the one of its own name, or the only one."""
    options: dict[str, Value] = Field(default={})
    """What it is given besides, by name."""


class EvaluateMetricSpec(_MetricBase):
    """A metric of the package `evaluate`."""

    type: Literal["evaluate"]
    """What kind of metric it is."""
    source: Text
    """Its script, or the folder that has one; or its name on the hub (`owner/name`, `accuracy`)."""
    config: Text | None = None
    """Which of its configurations, as `multilabel`."""
    allow_remote_code: bool = False
    """Run the code of a metric of the hub."""

    @property
    def is_of_hub(self) -> bool:
        """Whether its code comes from elsewhere: paths are absolute once a document is resolved."""
        return not self.source.startswith("/")


class FunctionMetricSpec(_MetricBase):
    """A Python function of what the model says and what is true."""

    type: Literal["function"]
    """What kind of metric it is."""
    source: Annotated[
        str,
        StringConstraints(pattern=r"^[^:]+:[A-Za-z_]\w*$", max_length=1024),
        InWords("`file.py:function` or `module:function`"),
    ]
    """`file.py:function` beside the document, or `package.module:function` of what is installed."""

    @property
    def place(self) -> str:
        """The file or module."""
        return self.source.rpartition(":")[0]

    @property
    def function(self) -> str:
        """The function in it."""
        return self.source.rpartition(":")[2]


MetricSpec = Annotated[EvaluateMetricSpec | FunctionMetricSpec, Field(discriminator="type")]


def names(metrics: Sequence[MetricSpec]) -> tuple[str, ...]:
    """What metrics are called."""
    return tuple(each.name for each in metrics)


def unknown(path: str, metric: str, known: Sequence[str]) -> Iterator[Conflict]:
    """Yield what is wrong where the key at `path` names a metric that is not reported."""
    if metric in known:
        return
    close = difflib.get_close_matches(metric, known, n=1)
    hint = f"; did you mean `{close[0]}`?" if close else ""
    yield Conflict(path, f"`{metric}` is not reported by this task, which reports {', '.join(known)}{hint}")


def conflicts(metrics: Sequence[MetricSpec], known: Sequence[str], *, task: TaskBase) -> Iterator[Conflict]:
    """Yield what does not go with a task that reports `known`."""
    if metrics and task.compares == "nothing":
        yield Conflict("metrics", _nothing_compared(task))
    given = names(metrics)
    for number, name in enumerate(given):
        if name in (*known, *_TABLES):
            yield Conflict(f"metrics[{number}].name", f"the task reports {name} already: choose another name")
        if name in given[:number]:
            yield Conflict(f"metrics[{number}].name", f"another metric is called {name} already: choose another name")


def files(metrics: Sequence[MetricSpec]) -> dict[str, str]:
    """Return the files that metrics are read from, by their place in the document: what is installed is none."""
    named = {f"spec.metrics[{number}].source": each for number, each in enumerate(metrics)}
    found = {
        place: each.place if isinstance(each, FunctionMetricSpec) else each.source for place, each in named.items()
    }
    return {place: file for place, file in found.items() if file.startswith(("/", ".", "~")) or file.endswith(".py")}


def with_files(metrics: Sequence[MetricSpec], moved: Mapping[str, str]) -> tuple[MetricSpec, ...]:
    """Return metrics that are read from other files, by the places that `files` tells."""
    found = []
    for number, each in enumerate(metrics):
        file = moved.get(f"spec.metrics[{number}].source")
        source = f"{file}:{each.function}" if isinstance(each, FunctionMetricSpec) else file
        found.append(each if file is None else each.model_copy(update={"source": source}))
    return tuple(found)


def _nothing_compared(task: TaskBase) -> str:
    if task.heads:
        return "are for a document with one task: leave them out"
    mended = "say in task.generate_for for which splits texts are written" if _may_write(task) else "leave them out"
    return f"this task says nothing of a row that could be compared with what is true: {mended}"


def _may_write(task: TaskBase) -> bool:
    return "generate_for" in type(task).model_fields and getattr(task, "format", "") != "text"
