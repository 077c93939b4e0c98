"""Checkpoints of a run and its final model: when one is written, which stays, which is best."""

from __future__ import annotations

import importlib.metadata
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from eagleray.model import export
from eagleray.spec.checkpoint import BestBySpec
from eagleray.spec.finetune import FineTuneSpec
from eagleray.spec.task import CausalLmSpec
from eagleray.store import best, checkpoints, paths
from eagleray.store.objects import Objects
from eagleray.tasks import chat_template
from eagleray.train.engine import Engine
from eagleray.train.group import Group
from eagleray.train.inputs import Inputs

PACKAGES = ("eagleray", "torch", "transformers", "deepspeed", "peft", "ray")
"""What a checkpoint names the version of."""


@dataclass(frozen=True, slots=True)
class Saved:
    """A checkpoint that was written, as every rank knows it."""

    step: int
    metrics: dict[str, Any]


class Saver:
    """Writes the weights that learn, ready for `from_pretrained`, and keeps the newest and the best of them.

    All methods are collective; only the first rank touches the storage.
    """

    def __init__(
        self,
        objects: Objects,
        run: str,
        *,
        spec: FineTuneSpec,
        inputs: Inputs,
        engine: Engine,
        group: Group,
        scratch: Path,
    ) -> None:
        self._objects, self._run = objects, run
        self._spec, self._inputs, self._engine, self._group = spec, inputs, engine, group
        self._scratch = scratch
        metric, mode = inputs.task.main_metric
        self._best_by = spec.checkpoint.best_by or BestBySpec(metric=metric, mode=mode)
        self._saved: list[Saved] = []

    def save(self, *, step: int, epoch: int, metrics: dict[str, Any], is_due: bool) -> None:
        """Write a checkpoint where one is due or the metrics are the best so far; then prune the old."""
        candidate = Saved(step=step, metrics=metrics)
        if not is_due and self._pick([*self._saved, candidate]) is not candidate:
            return
        weights = self._engine.weights(names=export.saved_names(self._engine.module))
        self._saved.append(candidate)
        if weights is None:
            return
        directory = self._scratch / f"step-{step}"
        self._write_model(directory, weights)
        checkpoints.commit(
            self._objects,
            self._run,
            step=step,
            directory=directory,
            epoch=epoch,
            metrics=metrics,
            world_size=self._group.world_size,
            zero_stage=self._spec.scale.zero.stage,
            versions={name: importlib.metadata.version(name) for name in PACKAGES},
            now=datetime.now(UTC),
        )
        shutil.rmtree(directory)
        checkpoints.prune(self._objects, self._run, keep=self._spec.checkpoint.keep, best_step=self.best().step)

    def best(self) -> Saved:
        """Return the best checkpoint so far."""
        return self._pick(self._saved)

    def read_weights(self, step: int) -> dict[str, torch.Tensor]:
        """Return the weights of a checkpoint under the names that the engine knows them by."""
        directory = self._fetched(step)
        return export.engine_names(self._engine.module, load_file(export.weights_file(directory)))

    def publish(self, chosen: Saved, metrics: dict[str, Any]) -> None:
        """Write the final model: the chosen checkpoint's files and a card with the metrics of the run."""
        if not self._group.is_first:
            return
        directory = self._fetched(chosen.step)
        card = export.model_card(run=self._run, spec=self._spec, metrics=metrics, step=chosen.step)
        (directory / "README.md").write_text(card, encoding="utf-8")
        files = [file for file in sorted(directory.rglob("*")) if file.is_file()]
        # The description comes last: `predict` looks for it, so a half-written model is no model.
        for file in sorted(files, key=lambda file: file.name == export.DESCRIPTION_FILE):
            self._objects.upload(f"{paths.model(self._run)}/{file.relative_to(directory).as_posix()}", file)

    def _write_model(self, directory: Path, weights: dict[str, torch.Tensor]) -> None:
        directory.mkdir()
        is_chat = isinstance(self._spec.task, CausalLmSpec) and self._spec.task.format == "chat"
        tokenizer = chat_template.install(self._inputs.tokenizer) if is_chat else self._inputs.tokenizer
        export.save(
            self._engine.module,
            weights,
            directory,
            tokenizer=tokenizer,
            spec=self._spec,
            labels=self._inputs.data.labels,
        )

    def _fetched(self, step: int) -> Path:
        directory = self._scratch / f"fetched-{step}"
        if not directory.exists():
            checkpoints.download(self._objects, self._run, step, directory)
        return directory

    def _pick(self, saved: list[Saved]) -> Saved:
        """The best of the list; the newest where none has a value of the metric."""
        return best.pick(saved, metric=self._best_by.metric, mode=self._best_by.mode) or saved[-1]
