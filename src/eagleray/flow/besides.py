"""What do the runs take that a document has besides its own: the stages before it, and students after it?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from eagleray.data.sources import read_rows
from eagleray.flow import duration
from eagleray.flow.estimate import Estimate
from eagleray.flow.measured import Measured
from eagleray.spec import finetune
from eagleray.spec.finetune import FineTune, FineTuneSpec
from eagleray.train import cadence


@dataclass(frozen=True, slots=True)
class Besides:
    """Runs of one kind, all of them together."""

    name: str  # "stage words", "3 rounds of self-training"
    num_runs: int  # at most
    steps: int  # at most
    storage_bytes: int  # at most
    peak_bytes: int  # of a worker
    fits: bool | None  # None where nobody knows what a worker has
    seconds: float | None = None  # where a step was measured
    device_hours: float | None = None


def stages(
    document: FineTune,
    *,
    estimated: Callable[[FineTune], Estimate],
    measured: Callable[[FineTune], Measured | None],
) -> list[Besides]:
    """The stages. Each is reckoned with the document's own model: what one hands on to the next has the same weights.

    Raises:
        UserError: a stage cannot work as it is.
    """
    found = []
    for stage in document.spec.stages:
        made = finetune.of_stage(document, stage, source=document.spec.model.source)
        estimate = estimated(made)
        known = measured(made)
        takes = duration.duration(made.spec, estimate, known) if known else None
        found.append(
            Besides(
                name=f"stage {stage.name}",
                num_runs=1,
                steps=estimate.length.total_steps,
                storage_bytes=estimate.storage_bytes,
                peak_bytes=estimate.chosen.budget.peak,
                fits=estimate.chosen.fits,
                seconds=takes.total_s if takes else None,
                device_hours=takes.device_hours if takes else None,
            )
        )
    return found


def students(spec: FineTuneSpec, own: Estimate, measured: Measured | None) -> list[Besides]:
    """The students of self-training, if each teacher is sure of every row and each student better than its teacher."""
    settings = spec.self_training
    if settings is None:
        return []
    rows = own.length.rows + sum(1 for _ in read_rows(settings.unlabeled, split="train"))
    steps = student_steps(rows, spec)
    share = steps / own.length.total_steps
    takes = duration.duration(spec, own, measured) if measured else None
    seconds = takes.startup_s + share * takes.training_s + takes.evaluation_s if takes else None
    hours = takes.device_hours * seconds / takes.total_s if takes and seconds else None
    num = settings.rounds
    return [
        Besides(
            name=f"{num} round{'s' if num > 1 else ''} of self-training",
            num_runs=num,
            steps=num * steps,
            storage_bytes=num * own.storage_bytes,
            peak_bytes=own.chosen.budget.peak,
            fits=own.chosen.fits,
            seconds=None if seconds is None else num * seconds,
            device_hours=None if hours is None else num * hours,
        )
    ]


def student_steps(rows: int, spec: FineTuneSpec) -> int:
    """Return the steps of a student that learns from so many rows."""
    train = spec.train
    an_epoch = cadence.steps_per_epoch(rows, global_batch_size=train.global_batch_size)
    return cadence.total_steps(an_epoch, epochs=train.epochs, max_steps=train.max_steps)
