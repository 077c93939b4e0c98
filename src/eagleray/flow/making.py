"""How does a document come to a model: from its data, by a sweep, by training, measured on its test rows?"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path

from eagleray.data import fingerprints
from eagleray.flow import stages
from eagleray.flow.steps import Observer, Step
from eagleray.spec import metrics, together
from eagleray.spec.document import dump
from eagleray.spec.finetune import FineTune
from eagleray.store import best, sweeps
from eagleray.store.objects import Objects
from eagleray.store.runs import RunRecord
from eagleray.train import changes, prompt_source, resumption
from eagleray.train.changes import Basis
from eagleray.tune import earlier, final
from eagleray.tune.earlier import Finished

_SHOWN_METRICS = 3


class Making:
    """The run whose model counts, once it is known."""

    def __init__(
        self,
        document: FineTune,
        objects: Objects,
        *,
        storage: str,
        cache_dir: Path,
        observer: Observer,
        stack: ExitStack,
        begins_anew: bool,
        forks: bool,
    ) -> None:
        """`stack` keeps Ray, once it is needed, for what comes after."""
        self.objects = objects
        self._document, self._storage, self._cache_dir = document, storage, cache_dir
        self._observer, self._stack, self._begins_anew = observer, stack, begins_anew
        self._forks = forks
        self._sweep: RunRecord | None = None
        self._run: RunRecord | None = None

    @property
    def run(self) -> RunRecord:
        """The run; there is one after the steps."""
        assert self._run is not None
        return self._run

    def steps(self) -> list[Step]:
        """Those that this document has, in order."""
        searched = [Step("sweep", self._find_sweep, self._do_sweep)] if self._document.spec.sweep else []
        before = [Step("stages", self._find_stages, self._do_stages)] if self._document.spec.stages else []
        return [
            *before,
            Step("data", self._find_data, self._prepare),
            *searched,
            Step("train", self._find_run, self._train),
            Step("evaluate", self._find_evaluation, self._evaluate),
        ]

    def why(self, step: str) -> str:
        """What has changed since the last time a model was made."""
        spec = self._document.spec
        # Which model it begins with is not known yet; the last run of a name may be that of a student.
        if step not in ("sweep", "train") or spec.stages or spec.self_training is not None:
            return ""
        kind = sweeps.KIND if step == "sweep" else self._document.kind
        there = resumption.find(self.objects, self._document.metadata.name, kind=kind)
        if there is None:
            return ""
        return "; ".join(map(str, changes.decisive(there.basis, self._basis)))

    @cached_property
    def _basis(self) -> Basis:
        return self._basis_of(self._document)

    def _basis_of(self, document: FineTune) -> Basis:
        fingerprint = fingerprints.of_document(document.spec, cache_dir=self._cache_dir)
        return changes.basis(document, fingerprint, prompt_of=prompt_source.find(self.objects, document.spec))

    def _find_stages(self) -> str | None:
        return None if self._begins_anew else self._walk_stages(self._finished)

    def _do_stages(self) -> str:
        told = self._walk_stages(
            lambda document: (None if self._begins_anew else self._finished(document)) or self._fine_tune(document)
        )
        assert told is not None
        return told

    def _walk_stages(self, run_of: Callable[[FineTune], RunRecord | None]) -> str | None:
        """Take over the model of the last stage, if all have one."""
        walked = stages.walk(self._document, self.objects, run_of)
        if walked is None:
            return None
        self._document, done = walked
        return "; ".join(f"{run.run}, {_scores(run)}" for run in done)

    def _finished(self, document: FineTune) -> RunRecord | None:
        return resumption.finished(
            self.objects, self._basis_of(document), kind=document.kind, may_be_forked=self._forks
        )

    def _find_data(self) -> str | None:
        """Where a model was made of them they need not be prepared again."""
        made = self._find_sweep() if self._document.spec.sweep else self._find_run()
        return f"unchanged, fingerprint {self._basis.data_fingerprint[:12]}" if made else None

    def _prepare(self) -> str:
        from eagleray.train import inputs

        with self._observer.training() as observer:
            loaded = inputs.load(self._document.spec, cache_dir=self._cache_dir, on_progress=observer.preparing)
            observer.data(loaded.data.report)
        data = loaded.data
        splits = {"training": data.train, "validation": data.validation, "test": data.test}
        return ", ".join(f"{len(split):,} {name} rows" for name, split in splits.items() if split is not None)

    def _find_sweep(self) -> str | None:
        if self._begins_anew and self._sweep is None:
            return None
        there = resumption.find(self.objects, self._document.metadata.name, kind=sweeps.KIND)
        decision = earlier.decide(there, self._basis)
        self._sweep = decision.run if isinstance(decision, Finished) else None
        return f"{self._sweep.run}, {_scores(self._sweep)}" if self._sweep else None

    def _do_sweep(self) -> str:
        self._connect()
        from eagleray.flow import observing
        from eagleray.tune.sweep import run_sweep

        with self._observer.sweeping() as view, observing.beside(self._document, self.objects, view) as observer:
            self._sweep = run_sweep(
                self._document,
                text=dump(self._document),
                storage=self._storage,
                cache_dir=self._cache_dir,
                observer=observer,
                begins_anew=self._begins_anew,
            )
        return f"{self._sweep.run}, {_scores(self._sweep)}"

    def _find_run(self) -> str | None:
        if self._is_model_of_sweep:
            self._run = self._sweep
        elif self._begins_anew and self._run is None:
            return None
        elif self._document.spec.self_training is not None:
            from eagleray.flow import self_training

            self._run = self_training.found(self._document, objects=self.objects, cache_dir=self._cache_dir)
        else:
            self._run = self._finished(self._trained)
        return f"{self._run.run}, {_scores(self._run)}" if self._run else None

    def _train(self) -> str:
        if self._document.spec.self_training is not None:
            self._run = self._train_in_rounds()
        else:
            self._run = self._fine_tune(self._trained)
        return f"{self._run.run}, {_scores(self._run)}"

    def _fine_tune(self, document: FineTune) -> RunRecord:
        self._connect()
        from eagleray.flow import observing
        from eagleray.train.run import fine_tune

        with self._observer.training() as view, observing.beside(document, self.objects, view) as observer:
            return fine_tune(
                document,
                text=dump(document),
                storage=self._storage,
                cache_dir=self._cache_dir,
                observer=observer,
                begins_anew=self._begins_anew,
                forks=self._forks and not self._begins_anew and self._must_fork(document),
            )

    def _train_in_rounds(self) -> RunRecord:
        self._connect()
        from eagleray.flow import self_training

        with self._observer.training() as view:
            return self_training.train(
                self._document,
                storage=self._storage,
                cache_dir=self._cache_dir,
                observer=view,
                begins_anew=self._begins_anew,
                forks=self._forks and not self._begins_anew,
            )

    def _must_fork(self, document: FineTune) -> bool:
        there = resumption.find(self.objects, document.metadata.name, kind=document.kind)
        return resumption.needs_fork(there, self._basis_of(document))

    @property
    def _is_model_of_sweep(self) -> bool:
        """Whether the model is that of the best trial, and nothing is trained after it."""
        return self._document.spec.sweep is not None and self._document.spec.sweep.final is None

    @property
    def _trained(self) -> FineTune:
        if self._document.spec.sweep is None or self._sweep is None:
            return self._document
        return final.of_sweep(self.objects, self._document, self._sweep.run)

    def _find_evaluation(self) -> str | None:
        spec, measured = self._document.spec, self.run.metrics.get("test")
        if not together.has_test(spec.task, spec.data):
            return _scores(self.run)
        # What is measured of written texts may have been asked for after the run.
        written = spec.final_metric_names if "test" in spec.task.written_splits else ()
        asked = (*written, *(metrics.names(spec.metrics) if spec.task.compares == "rows" else ()))
        is_done = measured is not None and all(name in measured for name in asked)
        return _scores(self.run) if is_done else None

    def _evaluate(self) -> str:
        from eagleray.flow.evaluate import evaluate

        self._run = evaluate(self.objects, self._document, self.run, cache_dir=self._cache_dir)
        return _scores(self._run)

    def _connect(self) -> None:
        """Start or join Ray, once."""
        import ray

        if not ray.is_initialized():
            from eagleray.train import cluster

            self._stack.enter_context(cluster.embedded(importing=("pandas", "eagleray.train.session")))
            self._stack.enter_context(cluster.connected())


def _scores(record: RunRecord) -> str:
    """The first figures of the split that counts."""
    split = "test" if "test" in record.metrics else "validation"
    measured = record.metrics.get(split, {})
    named = ((name, best.value_of(measured, name)) for name in sorted(measured, key="loss".__eq__))
    shown = [f"{name} {value:.4f}" for name, value in named if value is not None][:_SHOWN_METRICS]
    return f"{split} {', '.join(shown)}" if shown else "no metrics"
