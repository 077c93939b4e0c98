"""`eagleray train`: fine-tune what a document describes."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from eagleray.cli.inputs import read_document, storage_of
from eagleray.cli.log_format import LogFormat
from eagleray.cli.options import AsJson, DocumentFile, Overrides, Storage, refuse_both


def train(
    file: DocumentFile,
    overrides: Overrides = None,
    storage: Storage = None,
    as_json: AsJson = False,
    fork: Annotated[
        bool, typer.Option("--fork", help="Begin a new run from the newest checkpoint of the last one of this name.")
    ] = False,
    new: Annotated[
        bool, typer.Option("--new", help="Begin a new run from the start, though the last one is not finished.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the result only.")] = False,
    log_format: LogFormat = None,
) -> None:
    """Fine-tune the model of a document, evaluate it and keep the best checkpoint.

    Runs on the Ray cluster at RAY_ADDRESS, or on an embedded Ray on this machine. Progress goes to stderr, the
    result to stdout.

    Run again with the same document it goes on where it stopped, whatever ended it. Ctrl-C once: finish the step,
    save, stop. Twice: stop now.

    \b
    Examples:
      eagleray train jobs/finetune/text-classification-cpu.yaml
      eagleray train job.yaml --set train.learning_rate=3e-5 --set train.epochs=1
      eagleray train job.yaml --storage s3://bucket/runs --json
    """
    refuse_both(fork=fork, new=new)
    loaded = read_document(file, overrides=overrides, storage=storage)

    storage_uri = storage_of(loaded.document)

    from eagleray.cli import starting, views
    from eagleray.cli.metrics_table import print_metrics

    with views.of_run(quiet=quiet) as view, starting.started(loaded.document.spec, storage_uri, view.say) as objects:
        from eagleray.flow import observing, self_training
        from eagleray.spec.document import dump
        from eagleray.store.cache import cache_root
        from eagleray.train.run import fine_tune

        given: dict[str, Any] = {
            "storage": storage_uri,
            "cache_dir": cache_root(),
            "forks": fork,
            "begins_anew": new,
        }
        if loaded.document.spec.self_training is not None:
            record = self_training.train(loaded.document, observer=view, **given)
        else:
            with observing.beside(loaded.document, objects, view) as observer:
                record = fine_tune(loaded.document, text=dump(loaded.document), observer=observer, **given)
    if as_json:
        typer.echo(json.dumps(record.model_dump(mode="json"), indent=2))
        return
    print_metrics(record)
