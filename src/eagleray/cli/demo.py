"""`eagleray demo`: the whole story on real film sentences, from a plan to an endpoint that answers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from eagleray.cli.inputs import read_document, storage_of
from eagleray.cli.options import Storage

if TYPE_CHECKING:
    from eagleray.flow.places import Place
    from eagleray.spec.document import Loaded
    from eagleray.store.objects import Objects
    from eagleray.store.runs import RunRecord


def demo(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="Where the document goes, and what becomes of it.")
    ] = Path("eagleray-demo"),
    storage: Storage = None,
) -> None:
    """Show all of it in minutes: a plan, a sweep, the final model, its gate, an endpoint, requests with a key.

    A small real encoder learns from real film sentences whether the critic liked the film. The document is yours to
    change afterwards; run again, the demo goes on, or does again what a change of the document reaches. The endpoint
    ends with the demo.

    \b
    Examples:
      eagleray demo
      eagleray demo /tmp/demo
    """
    from eagleray.flow import demo as story

    story.check()
    file = story.write_document(folder)
    loaded = read_document(file, overrides=None, storage=str(folder / "runs") if storage is None else storage)

    from eagleray.cli import views
    from eagleray.cli.metrics_table import print_metrics
    from eagleray.cli.plan import made_plan, show_plan
    from eagleray.cli.up import life_of
    from eagleray.store.objects import open_storage

    view = views.of_life(shows_data=False)  # the plan shows them
    view.say(f"the document is {file}")
    _show_head(f"eagleray plan {file}")
    show_plan(made_plan(loaded), loaded)
    _show_head(f"eagleray up {file}")
    with life_of(loaded, overrides=(), view=view) as (life, place):
        life.go(until="verify")
        objects = open_storage(storage_of(loaded.document))
        typer.echo("")
        print_metrics(life.run)
        if place is not None:
            _show_answers(place, objects)
        run = life.run
    _show_rest(file, loaded, run, objects)


def _show_head(command: str) -> None:
    typer.echo(f"\n$ {command}")


def _show_answers(place: Place, objects: Objects) -> None:
    import json

    from eagleray.flow import demo as story
    from eagleray.flow.places import url

    body = json.dumps({"text": story.SENTENCES[0]})
    _show_head(
        f"curl {url(place.spec.endpoint)}{story.ROUTE} -H 'Authorization: Bearer KEY' "
        f"-H 'Content-Type: application/json' -d '{body}'"
    )
    for sentence, answer in story.ask(place.spec.endpoint, objects):
        typer.echo(f"{sentence}\n  {json.dumps(answer, ensure_ascii=False)}")


def _show_rest(file: Path, loaded: Loaded, run: RunRecord, objects: Objects) -> None:
    from eagleray.flow import reporting
    from eagleray.store import paths, runs, sweeps

    name, uri = loaded.document.metadata.name, objects.uri
    typer.echo("")
    for sweep in runs.of_name(objects, name):
        if sweep.kind == sweeps.KIND and sweep.phase == "succeeded":
            typer.echo(f"the sweep as a page:      {uri}/{paths.report(sweep.run)}")
    typer.echo(f"the final run as a page:  {reporting.put(objects, run.run, reporting.page(objects, run))}")
    typer.echo(
        f"all of it as a page:      eagleray ui --storage {uri}\n"
        f"an endpoint that stays:   eagleray up {file} --storage {uri} --detach"
    )
