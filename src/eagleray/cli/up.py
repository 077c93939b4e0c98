"""`eagleray up`: the whole life of a document, from its data to an endpoint that answers."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from eagleray.cli import storage as storages
from eagleray.cli.inputs import read_document, storage_of
from eagleray.cli.log_format import LogFormat
from eagleray.cli.options import DocumentFile, Overrides, Storage, Until, refuse_both
from eagleray.errors import UserError

if TYPE_CHECKING:
    from eagleray.flow.places import Place, Say
    from eagleray.flow.steps import Observer
    from eagleray.flow.up import Life
    from eagleray.spec.document import Loaded
    from eagleray.spec.finetune import FineTune


def up(
    file: DocumentFile,
    overrides: Overrides = None,
    storage: Storage = None,
    until: Until = "verify",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Tell what is there and what would be done; do nothing.")
    ] = False,
    detach: Annotated[
        bool, typer.Option("--detach", help="Leave the endpoint running on this machine, and end.")
    ] = False,
    new: Annotated[
        bool, typer.Option("--new", help="Sweep and train anew, though there is a model of this document.")
    ] = False,
    fork: Annotated[
        bool,
        typer.Option(
            "--fork",
            help="Where the last run is not finished and this document would change its result, begin a new one from "
            "its newest checkpoint.",
        ),
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print results only.")] = False,
    log_format: LogFormat = None,
) -> None:
    """Take a document all the way: data, sweep, training, test, registry, gate, promotion, endpoint.

    The steps are preflight, data, sweep, train, evaluate, register, gate, promote, deploy and verify; those that the
    document has no section for are left out. Run again it does only what is missing: what is there is found on the
    storage, whatever ended the command before.

    Without a Ray cluster (RAY_ADDRESS) the endpoint answers until Ctrl-C; on one it stays. The first endpoint of a
    storage gets a key, which is printed once.

    \b
    Examples:
      eagleray up job.yaml
      eagleray up job.yaml --dry-run
      eagleray up job.yaml --until promote
      eagleray up job.yaml --detach
    """
    refuse_both(fork=fork, new=new)
    loaded = read_document(file, overrides=overrides, storage=storage)

    from eagleray.cli import views

    view = views.of_life(quiet=quiet)
    with life_of(loaded, overrides=overrides or (), view=view, looks=dry_run, detach=detach, new=new, fork=fork) as (
        life,
        place,
    ):
        if dry_run:
            life.look(until=until)
            return
        life.go(until=until)
        if until == "verify" and place is not None and place.is_here:
            _wait(view.say)


@contextmanager
def life_of(
    loaded: Loaded,
    *,
    overrides: Sequence[str],
    view: Observer,
    looks: bool = False,
    detach: bool = False,
    new: bool = False,
    fork: bool = False,
) -> Iterator[tuple[Life, Place | None]]:
    """The life of a document that was read with these overrides, and the place of its endpoint, if it has one.

    One that only `looks` makes nothing, not even the directory of the storage.
    """
    document, storage = loaded.document, storage_of(loaded.document)

    from eagleray.cli.caller import caller
    from eagleray.train import garbage, ray_environment

    garbage.collect_rarely()
    ray_environment.prepare()
    ray_environment.prepare_serve()
    from eagleray.flow import progress
    from eagleray.flow.up import Life
    from eagleray.kube import in_cluster
    from eagleray.store.cache import cache_root
    from eagleray.store.objects import open_storage

    place = _place(document, loaded.path, overrides, storage, say=view.say, detach=detach)
    with (
        progress.told(view, in_cluster.board()) as observer,
        Life(
            document,
            storages.open_to_look(storage) if looks else open_storage(storage),
            storage=storage,
            cache_dir=cache_root(),
            observer=observer,
            place=place,
            by=caller(),
            begins_anew=new,
            forks=fork,
        ) as life,
    ):
        yield life, place


def _place(
    document: FineTune, file: Path, overrides: Sequence[str], storage: str, *, say: Say, detach: bool
) -> Place | None:
    from eagleray.flow import places
    from eagleray.spec import serving
    from eagleray.store.cache import cache_root
    from eagleray.train.ray_environment import is_embedded

    if document.spec.endpoint is None:
        if detach:
            raise UserError("--detach: the document has no section `endpoint` that could stay: leave it out")
        return None
    spec = serving.of_training(document)
    if not is_embedded():
        return places.OnCluster(spec, storage=storage, cache_dir=cache_root())
    if not detach:
        return places.Here(spec, storage=storage, cache_dir=cache_root(), say=say)
    settings = [argument for each in overrides for argument in ("--set", each)]
    command = [sys.executable, "-m", "eagleray", "serve", str(file.resolve()), "--storage", storage, *settings]
    log = cache_root() / "endpoints" / f"{document.metadata.name}.log"
    return places.Detached(spec, storage=storage, command=command, log=log)


def _wait(say: Say) -> None:
    from eagleray.flow.serve import wait_for_end

    try:
        say("Ctrl-C ends it")
        wait_for_end()
    except KeyboardInterrupt:
        say("stopping")
