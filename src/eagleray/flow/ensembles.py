"""How do the best trials of a sweep become one model? As a run, whose model is theirs together.

A run like any: it predicts, is registered and served. Nothing of it is on the storage before it was measured.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from eagleray.data import fingerprints
from eagleray.errors import UserError
from eagleray.flow import evaluate, merging
from eagleray.model import description, export, soup
from eagleray.model.description import Description, EnsembleRecord
from eagleray.model.ensemble import Output
from eagleray.spec import space
from eagleray.spec.base import MAX_NAME
from eagleray.spec.document import dump, loads
from eagleray.spec.finetune import FineTune, MetadataSpec
from eagleray.spec.sweep import ObjectiveSpec
from eagleray.spec.task import TaskSpec, TextClassificationSpec, TokenClassificationSpec
from eagleray.spec.task.image_classification import ImageClassificationSpec
from eagleray.spec.task.next_sentence import NextSentenceSpec
from eagleray.store import best, checkpoints, events, paths, ranking, runs, sweeps
from eagleray.store.checkpoints import Manifest
from eagleray.store.objects import Objects
from eagleray.store.runs import RunRecord
from eagleray.store.scratch import scratch_directory
from eagleray.train import publication

Combine = Literal["mean", "vote", "soup"]
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Member:
    """A trial that takes part."""

    trial: int
    manifest: Manifest
    weight: float
    document: FineTune


def make(
    objects: Objects,
    sweep: RunRecord,
    *,
    num_best: int,
    combine: Combine,
    is_weighted: bool,
    cache_dir: Path,
    say: Say,
    now: Callable[[], datetime],
) -> RunRecord:
    """Make a run of the best trials of a sweep that has ended, and return its record.

    Raises:
        UserError: too few trials have a checkpoint that is whole, or their models cannot be one or were not trained on
            the same rows.
    """
    trials = sweeps.open_trials(objects.uri, sweep.run)
    members = _members(objects, trials, sweep, num_best=num_best, is_weighted=is_weighted)
    first = members[0].document
    name = f"{sweep.name[: MAX_NAME - len('-ensemble')]}-ensemble"
    document = first.model_copy(update={"metadata": MetadataSpec(name=name)})
    if combine != "soup":
        _output(document.spec.task)  # raises before anything is fetched
    _check_same_rows(members, cache_dir=cache_dir)
    with scratch_directory("ensemble") as scratch:
        folders = [_fetched(trials, member, scratch / str(member.trial), say=say) for member in members]
        _check_alike(folders, members)
        whole = scratch / "whole"
        if combine == "soup":
            _stir(folders, members, whole, scratch=scratch / "merged")
        else:
            _gather(folders, members, whole, combine=combine, task=document.spec.task)
        say("measuring it")
        measured = evaluate.measured(document, whole, splits=("validation", "test"), cache_dir=cache_dir)
        lock = runs.read_lock(objects, sweep.run)
        record = runs.create(objects, name=name, document=dump(document), lock=lock, now=now())
        card = export.model_card(run=record.run, spec=document.spec, metrics=measured, step=members[0].manifest.step)
        publication.put_model(objects, record.run, whole, card=card, on_trouble=lambda error: say(f"{error}"))
    made = {"phase": "succeeded", "ended_at": now(), "metrics": measured, "best_step": members[0].manifest.step}
    finished = record.model_copy(update=made)
    runs.save(objects, finished)
    events.append(
        objects,
        record.run,
        kind="ensemble",
        now=now(),
        sweep=sweep.run,
        combine=combine,
        members=[{"trial": member.trial, "weight": member.weight} for member in members],
    )
    return finished


def _members(objects: Objects, trials: Objects, sweep: RunRecord, *, num_best: int, is_weighted: bool) -> list[Member]:
    found = sweeps.read(events.read_events(objects, sweep.run))
    base = loads(runs.read_document(objects, sweep.run), source=paths.document(sweep.run)).document
    ordered = ranking.ranked(found.trials, objectives=found.objectives, constraints=found.constraints)
    members = []
    for trial in ordered:
        manifest = ranking.best_checkpoint(trials, trial, found.objectives)
        if manifest is None or checkpoints.verify(trials, manifest.run, manifest.id):
            continue
        weight = _weight(manifest, ranking.primary(found.objectives)) if is_weighted else 1.0
        members.append(Member(trial.number, manifest, weight, space.apply(base, trial.params)))
        if len(members) == num_best:
            return members
    raise UserError(
        f"--best {num_best}: {sweep.run} has {len(members)} trials whose best checkpoint is whole and on the storage: "
        f"ask for no more, or search with sweep.keep: {num_best}"
    )


def _weight(manifest: Manifest, by: ObjectiveSpec) -> float:
    value = best.value_of(manifest.metrics, by.metric)
    if value is None or value <= 0:
        raise UserError(
            f"--weighted: {by.metric} of a trial is {value}, and a weight must be above 0: leave --weighted out"
        )
    return value if by.mode == "max" else 1 / value


def _fetched(trials: Objects, member: Member, to: Path, *, say: Say) -> Path:
    say(f"fetching trial {member.trial}")
    names = [entry.path for entry in member.manifest.files if not paths.is_state(entry.path)]
    checkpoints.fetch(trials, member.manifest, names, to)
    return to


def _check_same_rows(members: Sequence[Member], *, cache_dir: Path) -> None:
    """Raise UserError where two were trained on other splits: what one is scored on, another has learned."""
    first = fingerprints.of_document(members[0].document.spec, cache_dir=cache_dir)
    for member in members[1:]:
        if fingerprints.of_document(member.document.spec, cache_dir=cache_dir) != first:
            raise UserError(
                f"trials {members[0].trial} and {member.trial} have other rows to train and to validate on, so that "
                "their ensemble would be scored on rows that one of them has learned: name spec.data.validation.file "
                "and spec.data.test, search neither train.seed nor spec.data, or choose a smaller --best"
            )


def _check_alike(folders: Sequence[Path], members: Sequence[Member]) -> None:
    """Raise UserError where two models read or answer otherwise."""
    first = description.read(folders[0])
    for folder, member in zip(folders[1:], members[1:], strict=True):
        other = description.read(folder)
        for key in ("task", "labels", "max_length", "clean", "base"):
            if getattr(first, key) != getattr(other, key):
                raise UserError(
                    f"trials {members[0].trial} and {member.trial} differ in {_KEYS[key]}: they cannot answer as one; "
                    "choose a smaller --best, or search no such key"
                )


_KEYS = {
    "task": "spec.task",
    "labels": "their labels",
    "max_length": "spec.data.max_length",
    "clean": "spec.data.clean",
    "base": "spec.model",
}


def _gather(
    folders: Sequence[Path], members: Sequence[Member], to: Path, *, combine: Literal["mean", "vote"], task: TaskSpec
) -> None:
    """Put the models side by side, below what all of them share."""
    to.mkdir()
    for file in folders[0].iterdir():
        if file.is_file() and file.suffix != ".safetensors" and file.name != "adapter_config.json":
            shutil.copyfile(file, to / file.name)
    places = [f"members/{member.trial}" for member in members]
    for folder, place in zip(folders, places, strict=True):
        (to / place).parent.mkdir(exist_ok=True)
        folder.replace(to / place)
    weights = tuple(member.weight for member in members)
    together = EnsembleRecord(members=tuple(places), weights=weights, combine=combine, output=_output(task))
    facts: Description = description.read(to)
    description.write(to, facts.model_copy(update={"ensemble": together}))


def _stir(folders: Sequence[Path], members: Sequence[Member], to: Path, *, scratch: Path) -> None:
    """Put the mean of the weights into the files of the first; adapters are merged into their base before."""
    scratch.mkdir()
    wholes = [scratch / folder.name for folder in folders]
    for folder, whole in zip(folders, wholes, strict=True):
        merging.merge(folder, whole)
    files = [export.weights_file(whole) for whole in wholes]
    mean = scratch / "mean.safetensors"
    soup.average(files, mean, weights=[member.weight for member in members])
    mean.replace(files[0])
    wholes[0].replace(to)


def _output(task: TaskSpec) -> Output:
    """What the logits of a task are of. Raises UserError where they are of nothing that has a mean."""
    match task:
        case TextClassificationSpec() | ImageClassificationSpec():
            outputs: dict[str, Output] = {"single-label": "label", "multi-label": "labels", "regression": "value"}
            return outputs[task.problem]
        case TokenClassificationSpec() | NextSentenceSpec(with_masked_lm=False):
            return "label"
    raise UserError(
        f"--combine: the answers of {task.type} have no mean, they are texts or parts of them: use `--combine soup`, "
        "which is the mean of the weights"
    )
