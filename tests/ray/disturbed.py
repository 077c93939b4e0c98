"""A run that is disturbed, and the same run undisturbed: what they must have in common."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from eagleray.spec.finetune import FineTune
from eagleray.store import checkpoints, events, ledger, paths
from eagleray.store.objects import Objects
from eagleray.store.steps import read_steps
from tests.support.gloo import GlooWorkers
from tests.support.training import GlooRun, document

EVERY_STEPS = 20
TOTAL_STEPS = 280
AT_ONCE = {"backoff_s": 0}


def wanted(model: Path, reviews: Path, **sections: dict[str, Any]) -> FineTune:
    """A document of 280 steps in 40 epochs, for two workers with half a CPU each."""
    defaults: dict[str, dict[str, Any]] = {
        "train": {"epochs": 40, "micro_batch_size": 2},
        "scale": {"num_workers": 2, "cpus_per_worker": 0.5, "zero": {"stage": 2}},
        "checkpoint": {"every_steps": EVERY_STEPS},
        "failures": {"infrastructure": AT_ONCE, "hang": AT_ONCE},
    }
    merged = {name: {**defaults.get(name, {}), **sections.get(name, {})} for name in defaults | sections}
    return document(model, reviews, **merged)


@dataclass(frozen=True)
class Undisturbed:
    """What a document gives when nothing happens, without Ray."""

    losses: dict[int, float]  # by step
    weights: dict[str, torch.Tensor]  # after the last step

    def assert_same_weights(self, objects: Objects, run: str) -> None:
        """The last checkpoint of a run has these very weights, and its ledger is exact."""
        weights = last_weights(objects, run)
        assert weights.keys() == self.weights.keys()
        different = [name for name in weights if not torch.equal(weights[name], self.weights[name])]
        assert different == []
        assert_exact(objects, run)

    def assert_same_losses(self, objects: Objects, run: str, *, relative: float) -> None:
        """The figures of a run that are there are these to rounding, and its ledger is exact."""
        rows = {row["step"]: row["loss"] for row in read_steps(objects, run) if "loss" in row}
        assert rows
        far = {
            step: (loss, self.losses[step]) for step, loss in rows.items() if _apart(loss, self.losses[step]) > relative
        }
        assert far == {}
        assert_exact(objects, run)


def undisturbed(wanted: FineTune, folder: Path, *, num_workers: int) -> Undisturbed:
    """Train a document on gloo workers, from its start to its end."""
    run = GlooRun(folder / "undisturbed", folder / "cache")
    workers = GlooWorkers(num_workers)
    try:
        run.attempt(workers, wanted)
    finally:
        workers.close()
    losses = {row["step"]: row["loss"] for row in read_steps(run.objects, run.run) if "loss" in row}
    return Undisturbed(losses, last_weights(run.objects, run.run))


def last_weights(objects: Objects, run: str) -> dict[str, torch.Tensor]:
    """The weights in the newest checkpoint."""
    manifest = checkpoints.newest(objects, run)
    assert manifest is not None
    [name] = [
        each.path for each in manifest.files if each.path.endswith(".safetensors") and not paths.is_state(each.path)
    ]
    with tempfile.TemporaryDirectory() as folder:
        checkpoints.fetch(objects, manifest, [name], Path(folder))
        return load_file(Path(folder) / name)


def assert_exact(objects: Objects, run: str) -> None:
    """Each sample was used once an epoch, in all epochs."""
    manifest = checkpoints.newest(objects, run)
    assert manifest is not None
    report = ledger.examine(objects, run, manifest.id)
    assert report.problem == ""
    assert report.is_exact
    assert all(epoch.is_complete for epoch in report.epochs)
    assert [use.step for use in ledger.read(objects, run, manifest.id)] == list(range(1, manifest.step + 1))


def newest_lease(objects: Objects, run: str) -> int:
    """The number of the newest attempt."""
    return max(int(Path(info.key).stem) for info in objects.list(paths.leases(run)))


def uploads(objects: Objects, run: str, *, lease: int) -> set[str]:
    """The checkpoints of an attempt that have a folder on the storage and no manifest yet."""
    keys = [info.key.split("/") for info in objects.list(paths.checkpoints(run))]  # runs/RUN/checkpoints/ID/FILE
    saved = {folder for *_, folder, name in keys if name == "manifest.json"}
    return {key[3] for key in keys if key[3].endswith(f"-{lease:04d}")} - saved


def facts(objects: Objects, run: str, kind: str) -> list[dict[str, Any]]:
    """The fields of a run's events of a kind, in their order."""
    return [event.fields for event in events.read_events(objects, run) if event.kind == kind]


def _apart(one: float, other: float) -> float:
    return abs(one - other) / max(abs(other), 1e-12)
