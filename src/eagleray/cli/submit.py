"""`eagleray submit`: take a document all the way as a job on a Ray cluster."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from eagleray.cli import printing
from eagleray.cli import storage as storages
from eagleray.cli.log_format import LogFormat
from eagleray.cli.options import DocumentFile, Overrides, Storage, Until

DEFAULT_ADDRESS = "http://127.0.0.1:8265"


def submit(
    file: DocumentFile,
    overrides: Overrides = None,
    storage: Storage = None,
    address: Annotated[
        str | None,
        typer.Option(
            "--address",
            metavar="URL",
            help=f"The cluster's dashboard. Else RAY_API_SERVER_ADDRESS, else {DEFAULT_ADDRESS}.",
            show_default=False,
        ),
    ] = None,
    until: Until = "verify",
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Follow the job to its end.")] = True,
    log_format: LogFormat = None,
) -> None:
    """Take a document all the way as a job on a Ray cluster: what `eagleray up` does, there.

    Uploads the document and the local files it names, follows the log and ends with the job's exit code. Ctrl-C
    stops following; the job goes on. An endpoint stays when the job has ended. eagleray has to be installed on the
    cluster. Where the cluster asks for a token, set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH.

    \b
    Examples:
      eagleray submit job.yaml --storage s3://bucket/runs
      eagleray submit job.yaml --storage s3://bucket/runs --until train
      eagleray submit job.yaml --address http://head:8265 --no-wait
    """
    from eagleray.flow import submit as jobs
    from eagleray.spec import document, locations

    loaded = document.load(file, overrides=overrides or ())
    # As it was written: what is relative here lies elsewhere on the cluster, so it is refused instead of resolved.
    where = locations.as_said(loaded.document.spec.storage, option=storage, environment=storages.environment())

    cluster = address or os.environ.get("RAY_API_SERVER_ADDRESS") or DEFAULT_ADDRESS
    absolute = locations.absolute(loaded.document, (Path.cwd() / file).parent)
    job = jobs.submit(absolute, address=cluster, storage=where, until=until)
    again = f"ray job logs --follow --address {cluster} {job}"
    typer.echo(f"job {job}; to follow it: {again}", err=True)
    if not wait:
        typer.echo(job)
        return
    try:
        exit_code = jobs.follow(job, address=cluster, show=printing.say_log)
    except KeyboardInterrupt:
        typer.echo(f"\nthe job goes on; to follow it again: {again}", err=True)
        typer.echo(f"to stop it: ray job stop --address {cluster} {job}", err=True)
        raise typer.Exit(130) from None
    raise typer.Exit(exit_code)
