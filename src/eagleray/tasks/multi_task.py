"""What is multi-task: several tasks over one encoder, each with a head, columns, targets and metrics of its own?

A batch holds samples of some of the tasks. They go through the encoder together; every head then takes part in every
batch, one without samples by a row that counts for nothing: else workers would exchange unlike gradients.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from transformers import PreTrainedTokenizerBase

from eagleray.data.mixed import NUMBER
from eagleray.metrics.base import Metrics
from eagleray.spec.task.multi_task import SELECTOR
from eagleray.tasks.base import Batch, Forward, Row, Sample, Task, Verdict
from eagleray.tasks.padding import pad

if TYPE_CHECKING:
    from eagleray.model.multi_head import Part

_INPUTS = ("input_ids", "attention_mask", "token_type_ids")
_SCALES = "scales"


@dataclass(frozen=True, slots=True)
class MultiTask:
    """Rows: those of a task, and its name as `task`. Batches: the inputs of all tasks, one under another, and all else
    of a task's own batch under `<name>/<key>`; `weights` (samples,)."""

    members: Mapping[str, Task]
    overrides: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # what each sets in a model's config

    @property
    def main_metric(self) -> tuple[str, Literal["max", "min"]]:
        return "mean", "max"

    @property
    def labels(self) -> tuple[str, ...]:
        return tuple(f"{name}/{label}" for name, member in self.members.items() for label in member.labels)

    @property
    def columns(self) -> tuple[str, ...]:
        return (SELECTOR,)

    def read(self, raw: Mapping[str, Any]) -> Row:
        name, member = self._of(raw)
        return {SELECTOR: name, **member.read(raw)}

    def read_input(self, raw: Mapping[str, Any]) -> Row:
        name, member = self._of(raw)
        return {SELECTOR: name, **member.read_input(raw)}

    def identity(self, row: Row) -> str:
        return f"{row[SELECTOR]}:{self._member(row).identity(member_row(row))}"

    def labels_of(self, row: Row) -> tuple[str, ...]:
        return tuple(f"{row[SELECTOR]}/{label}" for label in self._member(row).labels_of(member_row(row)))

    def with_labels(self, labels: tuple[str, ...]) -> MultiTask:
        """Labels stand behind the name of their task."""
        split = [label.partition("/") for label in labels]
        own = {name: tuple(label for of, _, label in split if of == name) for name in self.members}
        return replace(self, members={name: member.with_labels(own[name]) for name, member in self.members.items()})

    def bound_to(self, tokenizer: Any) -> MultiTask:
        return replace(
            self, overrides={name: member.config_overrides(tokenizer) for name, member in self.members.items()}
        )

    def encode(self, rows: list[Row], tokenizer: PreTrainedTokenizerBase, max_length: int) -> dict[str, list[Any]]:
        """The columns of all tasks; a row has None in those that its own has not."""
        columns: dict[str, list[Any]] = {NUMBER: [list(self.members).index(row[SELECTOR]) for row in rows]}
        for name, member in self.members.items():
            places = [place for place, row in enumerate(rows) if row[SELECTOR] == name]
            found = (
                member.encode([member_row(rows[place]) for place in places], tokenizer, max_length) if places else {}
            )
            for column, values in found.items():
                filled = columns.setdefault(column, [None] * len(rows))
                for place, value in zip(places, values, strict=True):
                    filled[place] = value
        return columns

    def collate(
        self, samples: list[Sample], *, weights: np.ndarray, pad_id: int, packed: bool = False, max_length: int
    ) -> Batch:
        if packed:
            raise ValueError("multi-task has an output a row: samples cannot be packed")
        parts: dict[str, Batch] = {}
        for number, (name, member) in enumerate(self.members.items()):
            places = [place for place, sample in enumerate(samples) if sample[NUMBER] == number]
            if places:
                own = [{key: value for key, value in samples[place].items() if value is not None} for place in places]
                parts[name] = member.collate(own, weights=weights[places], pad_id=pad_id, max_length=max_length)
                parts[name]["place"] = torch.tensor(places)
        joint = _stacked(list(parts.values()), pad_id=pad_id)
        joint["weights"] = torch.as_tensor(weights, dtype=torch.float32)
        own_keys = {
            f"{name}/{key}": tensor
            for name, part in parts.items()
            for key, tensor in part.items()
            if key != "input_ids"
        }
        return joint | own_keys

    def num_targets(self, batch: Batch) -> float:
        """Samples: what `scaled` makes the losses of all tasks a mean over."""
        return float(batch["weights"].sum())

    def counts(self, batches: Sequence[Batch]) -> list[float]:
        """Of each task the samples and the targets of these batches: as many numbers of whichever, also of none."""
        found = {name: [0.0, 0.0] for name in self.members}
        for batch in batches:
            for name, part in self.parts(batch).items():
                found[name][0] += float(part["weights"].sum())
                found[name][1] += self.members[name].num_targets(part)
        return [number for each in found.values() for number in each]

    def scaled(self, batches: Sequence[Batch], totals: Sequence[float]) -> list[Batch]:
        """Batches whose loss, over all samples, is the mean of the tasks' mean losses, each as often as its samples.

        `totals` are the `counts` of the whole global batch.
        """
        scales = [samples / max(targets, 1.0) for samples, targets in zip(totals[::2], totals[1::2], strict=True)]
        return [
            {**batch, _SCALES: torch.tensor(scales, dtype=torch.float32, device=batch["weights"].device)}
            for batch in batches
        ]

    def loss(
        self, forward: Forward, batch: Batch, *, label_smoothing: float = 0.0
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """As everywhere the sum over the targets, each task's times its scale; there are no logits of all tasks."""
        parts = self.parts(batch)
        said = forward(**_inputs(batch), heads=self._heads(parts))
        total = torch.zeros((), device=batch["weights"].device)
        for number, (name, member) in enumerate(self.members.items()):
            if name not in parts:
                total = total + 0.0 * _sum(said[name])
                continue
            summed, _ = member.loss(_answering(said[name]), parts[name], label_smoothing=label_smoothing)
            total = total + (summed * batch[_SCALES][number] if _SCALES in batch else summed)
        return total, torch.empty(0)

    def row_losses(self, logits: torch.Tensor, batch: Batch) -> torch.Tensor | None:
        """Losses of unlike tasks cannot be compared: no row is the worst of all."""
        return None

    def verdict(self, logits: torch.Tensor, batch: Batch, row: int) -> Verdict:
        raise TypeError("what is said of a row is said by its task")

    def shown(self, row: Row) -> str:
        return self._member(row).shown(member_row(row))

    def new_metrics(self) -> Metrics:
        raise TypeError("each task has metrics of its own")

    def measured(self, found: Mapping[str, Mapping[str, Any]], shares: Mapping[str, float]) -> dict[str, Any]:
        """The metrics of each task under its name, `mean` of their main ones, and `loss` as training weighs it."""
        main = [_score(self.members[name], metrics) for name, metrics in found.items()]
        weight = sum(shares[name] for name in found)
        return {
            "loss": sum(shares[name] * metrics["loss"] for name, metrics in found.items()) / weight,
            "mean": sum(main) / len(main),
            **{f"{name}/{key}": value for name, metrics in found.items() for key, value in metrics.items()},
        }

    def model_class(self) -> type[Any]:
        from eagleray.model.multi_head import Head, auto_class  # imports what transformers has for models

        return auto_class(
            {name: Head(member.model_class(), self.overrides.get(name, {})) for name, member in self.members.items()}
        )

    def config_overrides(self, tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
        return {"pad_token_id": tokenizer.pad_token_id}

    def predict(self, model: Any, tokenizer: PreTrainedTokenizerBase, batch: Batch) -> list[dict[str, Any]]:
        answers: dict[int, dict[str, Any]] = {}
        for name, part in self.parts(batch).items():
            found = self.members[name].predict(alone(model, name), tokenizer, part)
            answers |= dict(zip(part["place"].tolist(), found, strict=True))
        return [answers[place] for place in range(len(answers))]

    def parts(self, batch: Batch) -> dict[str, Batch]:
        """The batches of the tasks that have samples in it, by name."""
        found, start = {}, 0
        for name in self.members:
            if f"{name}/attention_mask" not in batch:
                continue
            rows, length = batch[f"{name}/attention_mask"].shape
            prefix = f"{name}/"
            own = {key.removeprefix(prefix): value for key, value in batch.items() if key.startswith(prefix)}
            found[name] = own | {"input_ids": batch["input_ids"][start : start + rows, :length]}
            start += rows
        return found

    def _heads(self, parts: Mapping[str, Batch]) -> list[Part]:
        heads, start = [], 0
        for name in self.members:
            if name not in parts:
                heads.append((name, 0, 1, 1))
                continue
            rows, length = parts[name]["input_ids"].shape
            heads.append((name, start, rows, length))
            start += rows
        return heads

    def _of(self, raw: Mapping[str, Any]) -> tuple[str, Task]:
        name = raw.get(SELECTOR)
        if not isinstance(name, str) or name not in self.members:
            given = f"column `{SELECTOR}` holds {name!r}" if SELECTOR in raw else f"column `{SELECTOR}` is missing"
            raise ValueError(f"{given}: it says which task a row is for, one of {', '.join(self.members)}")
        return name, self.members[name]

    def _member(self, row: Row) -> Task:
        return self.members[row[SELECTOR]]


def alone(forward: Forward, name: str) -> Forward:
    """The model as one task calls it, with rows for its head alone."""

    def call(**inputs: torch.Tensor) -> Any:
        rows, length = inputs["input_ids"].shape
        return forward(**inputs, heads=[(name, 0, rows, length)])[name]

    return call


def _answering(said: Any) -> Forward:
    """A model that has answered already."""
    return lambda **inputs: said


def member_row(row: Row) -> Row:
    """A row as its task alone would have it."""
    return {key: value for key, value in row.items() if key != SELECTOR}


def _inputs(batch: Batch) -> Batch:
    return {name: batch[name] for name in _INPUTS if name in batch}


def _stacked(parts: Sequence[Batch], *, pad_id: int) -> Batch:
    """The inputs of all parts, one under another: (rows, longest) int64. Types are 0 where a part has none."""
    has_types = any("token_type_ids" in part for part in parts)
    values = {"input_ids": pad_id, "attention_mask": 0, **({"token_type_ids": 0} if has_types else {})}
    return {
        name: pad(
            [row for part in parts for row in part.get(name, torch.zeros_like(part["input_ids"])).numpy()], value=value
        )
        for name, value in values.items()
    }


def _sum(said: Any) -> torch.Tensor:
    """All that a head says, so that a loss depends on it."""
    return torch.stack([value.float().sum() for value in said.values() if isinstance(value, torch.Tensor)]).sum()


def _score(member: Task, metrics: Mapping[str, Any]) -> float:
    """A task's main metric, where more is better; of numbers R², as theirs is an error."""
    metric, mode = member.main_metric
    return float(metrics[metric] if mode == "max" else metrics["r2"])
