"""The command `eagleray`: its commands, one a file."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

import eagleray
from eagleray.cli import cache, checkpoints, edge, keys, log_format, models, runs, sweep, visible
from eagleray.cli.demo import demo
from eagleray.cli.doctor import doctor
from eagleray.cli.operator import operator
from eagleray.cli.plan import plan
from eagleray.cli.predict import predict
from eagleray.cli.register import register
from eagleray.cli.render import render
from eagleray.cli.schema import schema
from eagleray.cli.serve import serve
from eagleray.cli.submit import submit
from eagleray.cli.train import train
from eagleray.cli.ui import ui
from eagleray.cli.up import up

app = typer.Typer(
    name="eagleray",
    # Plain text: rendered help takes a third longer to appear, and breaks the lines of the examples.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)

COMPLETION = "_EAGLERAY_COMPLETE"
"""What typer's scripts for shells set, see `eagleray --show-completion`."""


def main(arguments: Sequence[str] | None = None) -> int:
    """The console script. Returns the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    return edge.run(lambda: _invoke(given))


def _invoke(arguments: list[str]) -> None:
    log_format.begin()
    visible.guard_log()
    # Not `command.main()`: it would turn an interrupt into the same exit as a command that ends with 130.
    command = typer.main.get_command(app)
    if COMPLETION in os.environ:  # a shell asks what may follow
        command.main(arguments, prog_name="eagleray")
    with command.make_context("eagleray", arguments) as context:
        command.invoke(context)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"eagleray {eagleray.__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """One document from data to a served model.

    A document says what to learn from which data; eagleray fine-tunes a pretrained model with Ray and DeepSpeed,
    evaluates it and writes down what it did.

    \b
    Examples:
      eagleray plan jobs/finetune/text-classification-cpu.yaml
      eagleray train job.yaml --set train.epochs=1
      eagleray runs list
    """


app.command()(plan)
app.command()(up)
app.command()(train)
app.add_typer(sweep.app, name="sweep")
app.command()(submit)
app.command()(predict)
app.command()(register)
app.command()(serve)
app.add_typer(runs.app, name="runs")
app.add_typer(checkpoints.app, name="checkpoints")
app.add_typer(models.app, name="models")
app.add_typer(keys.app, name="keys")
app.command()(ui)
app.add_typer(cache.app, name="cache")
app.command()(render)
app.command()(operator)
app.command()(schema)
app.command()(doctor)
app.command()(demo)
