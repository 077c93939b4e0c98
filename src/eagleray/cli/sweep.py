"""`eagleray sweep`: search the best values of a document's keys, and show what came of it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from eagleray.cli import printing, sweep_ensemble
from eagleray.cli.inputs import read_document, storage_of
from eagleray.cli.log_format import LogFormat
from eagleray.cli.options import AsJson, DocumentFile, Overrides, Storage

if TYPE_CHECKING:
    from eagleray.spec.finetune import FineTune
    from eagleray.store.objects import Objects
    from eagleray.store.runs import RunRecord
    from eagleray.store.sweeps import Sweep, Trial

_CONCURRENT_READS = 8
"""For each trial the checkpoints are listed and read, which on S3 is mostly waiting."""


class _FileFirst(TyperGroup):
    """`eagleray sweep FILE` is `eagleray sweep run FILE`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in (*self.commands, "-h", "--help"):
            args = ["run", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(cls=_FileFirst, no_args_is_help=True)


@app.callback()
def _about() -> None:
    """Search the best values of a document's keys: `eagleray sweep FILE`.

    The section `sweep` of the document says what is searched, how, for what and at what cost.

    \b
    Examples:
      eagleray sweep jobs/sweeps/lr-lora-asha.yaml
      eagleray sweep job.yaml --set sweep.budget.trials=32
      eagleray sweep show job.yaml
    """


@app.command()
def run(
    file: DocumentFile,
    overrides: Overrides = None,
    storage: Storage = None,
    as_json: AsJson = False,
    new: Annotated[
        bool, typer.Option("--new", help="Begin a new sweep, though the last one of this name is not finished.")
    ] = False,
    final: Annotated[
        bool, typer.Option("--final", help="Then train the best configuration as spec.sweep.final says.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the result only.")] = False,
    log_format: LogFormat = None,
) -> None:
    """Try configurations until the budget is used up, and keep the model of the best.

    Runs on the Ray cluster at RAY_ADDRESS, or on an embedded Ray on this machine. Progress goes to stderr, the
    result to stdout; report.html beside the sweep's record shows all trials.

    Run again with the same document it goes on where it stopped, whatever ended it. Ctrl-C once: start no trial any
    more, save those that run, stop. Twice: stop now.

    \b
    Examples:
      eagleray sweep jobs/sweeps/lr-lora-asha.yaml
      eagleray sweep job.yaml --set sweep.budget.trials=32 --final
    """
    document = read_document(file, overrides=overrides, storage=storage).document
    storage_uri = storage_of(document)

    from eagleray.cli import starting, views
    from eagleray.cli.metrics_table import print_metrics
    from eagleray.store.cache import cache_root

    with views.of_sweep(quiet=quiet) as view, starting.started(document.spec, storage_uri, view.say) as objects:
        from eagleray.flow import observing
        from eagleray.spec.document import dump
        from eagleray.tune import final as finals
        from eagleray.tune.sweep import run_sweep

        if final:
            finals.document(document, {})  # what is wrong with it, before hours have passed
        with observing.beside(document, objects, view) as observer:
            record = run_sweep(
                document,
                text=dump(document),
                storage=storage_uri,
                cache_dir=cache_root(),
                observer=observer,
                begins_anew=new,
                for_final=final,
            )
        if final:
            view.close()
            last = _train(finals.of_sweep(objects, document, record.run), objects, storage=storage_uri, quiet=quiet)
    if as_json:
        printing.show_json(_shown(objects, record, storage_uri) | ({"final": last.run} if final else {}))
        return
    _print(objects, record)
    print_metrics(last if final else record)


app.command()(sweep_ensemble.ensemble)


@app.command()
def show(
    sweep: sweep_ensemble.SweepName,
    storage: Storage = None,
    as_json: AsJson = False,
) -> None:
    """Show a sweep: its trials, the best of them, and where the report is.

    \b
    Example:
      eagleray sweep show jobs/sweeps/lr-lora-asha.yaml
    """
    objects, record, uri = sweep_ensemble.find(sweep, storage)
    if as_json:
        printing.show_json(_shown(objects, record, uri))
        return
    _print(objects, record)


def _train(document: FineTune, objects: Objects, *, storage: str, quiet: bool) -> RunRecord:
    """Train the document of the best configuration."""
    from eagleray.cli import views
    from eagleray.flow import observing
    from eagleray.spec.document import dump
    from eagleray.store.cache import cache_root
    from eagleray.train.run import fine_tune

    with views.of_run(quiet=quiet) as view, observing.beside(document, objects, view) as observer:
        return fine_tune(document, text=dump(document), storage=storage, cache_dir=cache_root(), observer=observer)


def _read(objects: Objects, record: RunRecord) -> Sweep:
    from eagleray.store import events, sweeps

    return sweeps.read(events.read_events(objects, record.run))


def _print(objects: Objects, record: RunRecord) -> None:
    from eagleray.cli.sweep_tables import facts, trials_table
    from eagleray.store import paths, ranking

    sweep = _read(objects, record)
    ordered = ranking.ranked(sweep.trials, objectives=sweep.objectives, constraints=sweep.constraints)
    printing.show(trials_table(sweep, ordered, going=frozenset()), *facts(record, sweep))
    if record.phase == "succeeded":
        printing.show(f"report: {objects.uri}/{paths.report(record.run)}")


def _shown(objects: Objects, record: RunRecord, uri: str) -> dict[str, Any]:
    from eagleray.store import draws, ranking, sweeps

    sweep = _read(objects, record)
    ordered = ranking.ranked(sweep.trials, objectives=sweep.objectives, constraints=sweep.constraints)
    trials = sweeps.open_trials(uri, record.run)
    with ThreadPoolExecutor(_CONCURRENT_READS) as threads:
        facts = threads.map(partial(_described, sweep=sweep, trials=trials), sweep.trials)
        described = {each["trial"]: each for each in facts}
    by = ranking.primary(sweep.objectives) if sweep.objectives else None
    return {
        "name": record.name,
        "sweep": record.run,
        "phase": record.phase,
        "metric": by.metric if by else None,
        "mode": by.mode if by else None,
        "best": described[ordered[0].number] if ordered else None,
        "pareto_front": [
            trial.number
            for trial in ranking.pareto_front(sweep.trials, objectives=sweep.objectives, constraints=sweep.constraints)
        ],
        "draws": [asdict(each) for each in draws.spreads(sweep)],
        "trials": list(described.values()),
        "steps": sweep.num_steps,
        "device_hours": sweep.device_hours,
        "end_reason": sweep.end_reason,
    }


def _described(trial: Trial, sweep: Sweep, trials: Objects) -> dict[str, Any]:
    from eagleray.store import paths, ranking

    report = ranking.best_report(trial, sweep.objectives)
    manifest = ranking.best_checkpoint(trials, trial, sweep.objectives)
    key = paths.checkpoint(manifest.run, manifest.step, manifest.lease) if manifest else None
    return {
        "trial": trial.number,
        "params": dict(trial.params),
        "metric": report.metrics[ranking.primary(sweep.objectives).metric] if report else None,
        "metrics": dict(report.metrics) if report else {},
        "steps": trial.num_steps,
        "state": trial.state,
        "checkpoint": f"{trials.uri}/{key}" if key else None,
        "run": trial.run,
        "error": trial.error,
    }
