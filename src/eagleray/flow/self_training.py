"""How does a model come of few labels and many rows without one: teacher, student, and so on while it helps?

Each round is a run of its own, under the document's name. Nothing else is kept: which rounds are done is seen by the
runs that have succeeded and by what each teacher has left beside its run, so a kill at any moment costs one step.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from eagleray.data import fingerprints
from eagleray.errors import UserError
from eagleray.flow import observing, teaching
from eagleray.flow.tracking import AnyObserver
from eagleray.spec.document import dump
from eagleray.spec.finetune import FineTune
from eagleray.store import best, runs
from eagleray.store import teaching as records
from eagleray.store.objects import Objects, open_storage
from eagleray.store.runs import RunRecord
from eagleray.store.teaching import TeachingRecord
from eagleray.train import changes, inputs, prompt_source, resumption
from eagleray.train.inputs import Inputs


def found(document: FineTune, *, objects: Objects, cache_dir: Path) -> RunRecord | None:
    """Return the run of the best round where all are done; trains nothing, labels nothing and writes nothing."""
    rounds = Rounds(document, objects=objects, cache_dir=cache_dir)
    return rounds.walk(
        train=lambda document: None, teach=lambda teacher, number: None, outdo=lambda student, teacher: None
    )


def train(
    document: FineTune,
    *,
    storage: str,
    cache_dir: Path,
    observer: AnyObserver,
    forks: bool = False,
    begins_anew: bool = False,
) -> RunRecord:
    """Do the rounds that are not done yet, and return the run of the best one.

    Raises:
        UserError: the document or the data cannot work as they are.
        EaglerayError: see `fine_tune`.
    """
    from eagleray.train.run import fine_tune

    if forks:
        raise UserError("--fork: a round of self-training begins with the pretrained model: leave it out, or --new")
    objects = open_storage(storage)
    rounds = Rounds(document, objects=objects, cache_dir=cache_dir, begins_anew=begins_anew)

    def run(wanted: FineTune) -> RunRecord:
        with observing.beside(wanted, objects, observer) as seen:
            return fine_tune(
                wanted,
                text=dump(wanted),
                storage=storage,
                cache_dir=cache_dir,
                observer=seen,
                begins_anew=rounds.begins_anew,
            )

    def teach(teacher: RunRecord, number: int) -> TeachingRecord:
        observer.say(f"round {number}: {teacher.run} labels rows")
        record = teaching.teach(
            document, rounds.inputs, teacher=teacher.run, number=number, objects=objects, key=rounds.key
        )
        observer.say(told(record))
        return record

    def outdo(student: RunRecord, teacher: RunRecord) -> RunRecord:
        outdone = student.model_copy(update={"outdone_by": teacher.run})
        runs.save(objects, outdone)
        return outdone

    chosen = rounds.walk(train=run, teach=teach, outdo=outdo, say=observer.say)
    assert chosen is not None
    return chosen


def told(record: TeachingRecord) -> str:
    """Say in a line what a teacher has done."""
    added = ", ".join(f"{count:,} {label}" for label, count in record.num_added.items())
    right = "" if record.held_out_accuracy is None else f", {record.held_out_accuracy:.1%} of them right"
    return (
        f"round {record.round}: sure of {record.num_sure:,} of {record.num_unlabelled:,} rows, added {added}; "
        f"of {record.num_held_out:,} held-out rows sure of {record.num_held_out_sure:,}{right}"
    )


class Rounds:
    """The rounds of a document, as far as they have come."""

    def __init__(self, document: FineTune, *, objects: Objects, cache_dir: Path, begins_anew: bool = False) -> None:
        settings = document.spec.self_training
        assert settings is not None
        self._document, self._objects, self._cache_dir = document, objects, cache_dir
        self._num_rounds, self._is_soft = settings.rounds, settings.labels == "soft"
        self._inputs: Inputs | None = None
        self.begins_anew = begins_anew
        self.key = teaching.key(settings, cache_dir=cache_dir)

    @property
    def inputs(self) -> Inputs:
        """The labelled data."""
        if self._inputs is None:
            self._inputs = inputs.load(self._document.spec, cache_dir=self._cache_dir)
        return self._inputs

    def walk(
        self,
        *,
        train: Callable[[FineTune], RunRecord | None],
        teach: Callable[[RunRecord, int], TeachingRecord | None],
        outdo: Callable[[RunRecord, RunRecord], RunRecord | None],
        say: Callable[[str], None] = lambda message: None,
    ) -> RunRecord | None:
        """Go from round to round; None as soon as one is not done, and `train`, `teach` or `outdo` does not do it.

        `outdo` writes down that a student is no better than its teacher: what the name of both means from then on.
        """
        alone = self._document.model_copy(
            update={"spec": self._document.spec.model_copy(update={"self_training": None})}
        )
        teacher = self._done(alone) or train(alone)
        for number in range(1, self._num_rounds + 1):
            if teacher is None:
                return None
            record = records.read(self._objects, teacher.run, self.key) or teach(teacher, number)
            if record is None:
                return None
            if not sum(record.num_added.values()):
                say(f"round {number}: the teacher is sure of no row: {teacher.run} stays")
                return teacher
            wanted = teaching.student(
                alone,
                record,
                objects=self._objects,
                key=self.key,
                labels=self.inputs.task.labels,
                is_soft=self._is_soft,
            )
            student = self._done(wanted) or train(wanted)
            if student is None:
                return None
            is_better, scores = self._compare(student, teacher)
            say(f"round {number}: {scores}, {'better' if is_better else 'no better'} than {teacher.run}")
            if not is_better:
                is_written = student.outdone_by == teacher.run or outdo(student, teacher) is not None
                return teacher if is_written else None
            teacher = student
        return teacher

    def _done(self, document: FineTune) -> RunRecord | None:
        if self.begins_anew:
            return None
        fingerprint = fingerprints.of_document(document.spec, cache_dir=self._cache_dir)
        basis = changes.basis(document, fingerprint, prompt_of=prompt_source.find(self._objects, document.spec))
        return resumption.finished(self._objects, basis, kind=document.kind)

    def _compare(self, student: RunRecord, teacher: RunRecord) -> tuple[bool, str]:
        """Whether a student is better, by the metric that ranks checkpoints, and what it has reached."""
        by = self._document.spec.checkpoint.best_by
        metric, mode = (by.metric, by.mode) if by is not None else self.inputs.task.main_metric
        values = [best.value_of(run.metrics.get("validation", {}), metric) for run in (student, teacher)]
        new, old = ((float("-inf") if mode == "max" else float("inf")) if v is None else v for v in values)
        return (new > old if mode == "max" else new < old), f"{student.run} has {metric} {new:.4f} after {old:.4f}"
