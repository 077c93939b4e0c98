"""Checkpoints of a run and its final model: when one is written, which stays, which is best."""

from __future__ import annotations

import importlib.metadata
import logging
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from eagleray.errors import StorageError
from eagleray.model import export
from eagleray.spec.checkpoint import BestBySpec
from eagleray.spec.finetune import FineTuneSpec
from eagleray.spec.task import CausalLmSpec
from eagleray.store import best, checkpoints, lease
from eagleray.store.checkpoints import CheckpointId, Manifest, Position
from eagleray.store.objects import Objects
from eagleray.store.patience import persist
from eagleray.tasks import chat_template
from eagleray.train import publication, shards, state, uploads
from eagleray.train.engine import Engine
from eagleray.train.group import Group
from eagleray.train.inputs import Inputs
from eagleray.train.loop import StepReport
from eagleray.train.recorder import Recorder
from eagleray.train.state import TrainState
from eagleray.train.uploads import Contents, Upload, Use

logger = logging.getLogger(__name__)

PACKAGES = ("eagleray", "torch", "transformers", "deepspeed", "peft", "ray")
"""What a checkpoint names the version of."""
CLOSING_S = 30.0
"""How long a run that has failed still waits for a checkpoint that is on its way."""


@dataclass(frozen=True, slots=True)
class Saved:
    """A checkpoint that was written, or is being written, as every rank knows it."""

    identity: CheckpointId
    metrics: dict[str, Any]

    @property
    def step(self) -> int:
        """The step after which it was taken."""
        return self.identity.step


class Saver:
    """Writes checkpoints behind training, and keeps the newest and the best of them.

    All methods are collective.
    """

    def __init__(
        self,
        objects: Objects,
        run: str,
        *,
        lease_number: int,
        spec: FineTuneSpec,
        inputs: Inputs,
        engine: Engine,
        group: Group,
        recorder: Recorder,
        scratch: Path,
        steps_per_epoch: int,
        micro_batch_size: int,
        earlier: Sequence[Manifest],
        origin: Manifest | None,
        mark: Callable[[str], None],
    ) -> None:
        """`earlier`: the checkpoints up to the one that was restored, which is `origin`, perhaps of another run."""
        self._objects, self._run, self._lease_number = objects, run, lease_number
        self._spec, self._inputs, self._engine, self._group = spec, inputs, engine, group
        self._recorder, self._scratch, self._mark = recorder, scratch, mark
        self._steps_per_epoch, self._micro_batch_size = steps_per_epoch, micro_batch_size
        metric, mode = inputs.task.main_metric
        self._best_by = spec.checkpoint.best_by or BestBySpec(metric=metric, mode=mode)
        self._saved = [Saved(each.id, each.metrics) for each in earlier]
        self._parent: CheckpointId | None = origin.id if origin else None
        self._parent_run = origin.run if origin else run
        self._uses: list[Use] = []
        self._upload: Upload | None = None

    def note(self, report: StepReport) -> None:
        """Keep which samples a step used, for the next checkpoint."""
        self._uses.append(Use(report.step, report.epoch, report.used, report.skipped))

    def save(self, reached: TrainState, *, metrics: dict[str, Any], is_due: bool) -> None:
        """Begin to write a checkpoint where one is due or the metrics are the best so far.

        Returns once everything is copied; waits before that for the checkpoint before.

        Raises:
            StorageError: the checkpoint before could not be written.
        """
        candidate = Saved(CheckpointId(step=reached.step, lease=self._lease_number), metrics)
        if not is_due and self._pick([*self._saved, candidate]) is not candidate:
            return
        stall_s = self.wait()
        started = time.monotonic()
        manifest = self._manifest(reached, metrics)
        contents = self._contents()
        self._parent, self._parent_run = candidate.identity, self._run
        self._saved.append(candidate)
        self._uses = []
        blocked_s = time.monotonic() - started
        self._recorder.spent("checkpoint", stall_s + blocked_s)
        self._recorder.saved(reached.step)
        costs = {"blocked_s": round(blocked_s, 3), "stall_s": round(stall_s, 3)}
        best_id = self.best().identity
        self._upload = Upload(lambda: self._write(manifest, contents, best_id, costs))

    def wait(self) -> float:
        """Wait until nothing is on its way any more and return the seconds that took."""
        if self._upload is None:
            return 0.0
        upload, self._upload = self._upload, None
        return upload.wait(self._mark)

    def close(self) -> None:
        """Give a checkpoint that is on its way some time, where the run has failed meanwhile."""
        if self._upload is None:
            return
        upload, self._upload = self._upload, None
        try:
            upload.wait(self._mark, timeout_s=CLOSING_S)
        except Exception as error:  # what the run has failed for is what counts
            logger.warning("a checkpoint was lost: %s", error)

    def best(self) -> Saved:
        """Return the best checkpoint so far. Reads nothing: it may be damaged."""
        return self._pick(self._saved)

    def fetch_best(self) -> Saved:
        """Fetch the model of the best checkpoint that is whole, and return which that is.

        Raises:
            CheckpointDamaged: none is whole.
            StorageError: the storage does not answer.
        """
        answer: CheckpointId | StorageError | None = None
        if self._group.is_first:
            try:
                answer = self._fetch_best()
            except StorageError as error:
                answer = error
        fetched = self._group.exchange(answer)[0]
        if isinstance(fetched, StorageError):
            raise fetched
        return next(each for each in self._saved if each.identity == fetched)

    def read_weights(self, chosen: Saved) -> dict[str, torch.Tensor]:
        """Return the weights of a checkpoint under the names that the engine knows them by."""
        directory = self._fetched(chosen)
        return export.engine_names(self._engine.module, load_file(export.weights_file(directory)))

    def files(self, chosen: Saved) -> Path:
        """Return where the model's files of a checkpoint are on this machine, once every worker has them. Collective.

        Raises:
            StorageError: a worker could not fetch them; at every worker, for none may wait for one that has stopped.
        """
        problem: StorageError | None = None
        try:
            self._fetched(chosen)
        except StorageError as error:
            problem = error
        for each in self._group.exchange(problem):
            if each is not None:
                raise each
        return self._directory(chosen.identity)

    def publish(self, chosen: Saved, metrics: dict[str, Any]) -> None:
        """Write the final model: the chosen checkpoint's files and a card with the metrics of the run."""
        if not self._group.is_first:
            return
        directory = self._fetched(chosen)
        card = export.model_card(run=self._run, spec=self._spec, metrics=metrics, step=chosen.step)
        publication.put_model(self._objects, self._run, directory, card=card, on_trouble=self._tell_trouble)

    def _manifest(self, reached: TrainState, metrics: dict[str, Any]) -> Manifest:
        epoch, batch = divmod(reached.step, self._steps_per_epoch)
        return Manifest(
            run=self._run,
            step=reached.step,
            lease=self._lease_number,
            position=Position(epoch=epoch, batch=batch),
            parent=self._parent,
            files=(),
            metrics=metrics,
            world_size=self._group.world_size,
            zero_stage=self._spec.scale.zero.stage,
            training={"state": state.dump(reached), "micro_batch_size": self._micro_batch_size},
            data_fingerprint=self._inputs.data.fingerprint,
            versions={name: importlib.metadata.version(name) for name in PACKAGES},
            created_at=datetime.now(UTC),
        )

    def _contents(self) -> Contents:
        """Copy all that training changes."""
        with self._engine.averaged():
            weights = self._engine.weights(names=export.saved_names(self._engine.module))
        return Contents(
            snapshot=shards.snapshot(
                self._engine.fragments(is_for_writing=True), buffers=self._engine.buffers(), device=self._group.device
            ),
            write_model=None if weights is None else lambda directory: self._write_model(directory, weights),
            uses=tuple(self._uses),
            parent_run="" if self._parent_run == self._run else self._parent_run,
        )

    def _write(self, manifest: Manifest, contents: Contents, best_id: CheckpointId, costs: dict[str, float]) -> None:
        """In the background: upload, commit, then prune what is old."""
        started = time.monotonic()
        committed = uploads.upload(
            self._objects,
            manifest,
            contents,
            group=self._group,
            scratch=self._scratch,
            num_samples=len(self._inputs.data.train),
            check=lambda: lease.check(self._objects, self._run, self._lease_number),
            on_trouble=self._tell_trouble,
        )
        if not self._group.is_first:
            return
        self._recorder.event(
            "checkpoint",
            step=manifest.step,
            size_bytes=committed.size_bytes,
            upload_s=round(time.monotonic() - started, 3),
            **costs,
        )
        if committed.num_skipped:
            self._recorder.event("quarantined", step=manifest.step, num_samples=committed.num_skipped)
        try:
            checkpoints.prune(self._objects, self._run, keep=self._spec.checkpoint.keep, best=best_id)
        except StorageError as error:  # what is too much now goes after the next checkpoint
            self._tell_trouble(error)

    def _tell_trouble(self, error: StorageError) -> None:
        self._recorder.event("storage-trouble", error=str(error))

    def _write_model(self, directory: Path, weights: dict[str, torch.Tensor]) -> None:
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

    def _fetch_best(self) -> CheckpointId:
        there = persist(lambda: checkpoints.list_manifests(self._objects, self._run), on_trouble=self._tell_trouble)
        return self._fetch_whole(self._ranked({manifest.id for manifest in there}))

    def _fetched(self, chosen: Saved) -> Path:
        directory = self._directory(chosen.identity)
        if not directory.exists():
            self._fetch_whole([chosen])
        return directory

    def _fetch_whole(self, ranked: Iterable[Saved]) -> CheckpointId:
        return publication.fetch_whole(
            self._objects,
            self._run,
            (each.identity for each in ranked),
            self._directory,
            on_damaged=lambda each, reason: self._recorder.event("checkpoint-damaged", step=each.step, reason=reason),
            on_trouble=self._tell_trouble,
        )

    def _ranked(self, there: Collection[CheckpointId]) -> Iterator[Saved]:
        """The best, though it be gone, which is damage; then the others that are there: most were pruned in time."""
        best_one = self.best()
        left = [each for each in self._saved if each is best_one or each.identity in there]
        while left:
            chosen = self._pick(left)
            left.remove(chosen)
            yield chosen

    def _directory(self, checkpoint: CheckpointId) -> Path:
        return self._scratch / f"fetched-{checkpoint}"

    def _pick(self, saved: list[Saved]) -> Saved:
        """The best of the list; the newest where none has a value of the metric."""
        return best.pick(saved, metric=self._best_by.metric, mode=self._best_by.mode) or saved[-1]
