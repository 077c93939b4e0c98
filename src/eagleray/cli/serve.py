"""`eagleray serve`: an HTTP endpoint for a registered model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from eagleray.cli import storage as storages
from eagleray.cli.log_format import LogFormat
from eagleray.cli.options import Overrides, Storage

if TYPE_CHECKING:
    from eagleray.spec.serving import ServingSpec


def serve(
    target: Annotated[
        str, typer.Argument(metavar="FILE|MODEL[@ALIAS]", help="A document, or a registered model.", show_default=False)
    ],
    overrides: Overrides = None,
    storage: Storage = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.", show_default="127.0.0.1")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on.", show_default="8000")] = None,
    no_auth: Annotated[
        bool, typer.Option("--no-auth", help="Answer without keys; on a loopback address only.")
    ] = False,
    log_format: LogFormat = None,
) -> None:
    """Serve a registered model over HTTP, until Ctrl-C.

    Takes a document of kind Endpoint, a document of kind FineTune (its `endpoint` section, and the version that its
    alias points to), or a model by its name. A promotion of the alias is a rollout: the endpoint loads the new version
    beside the old one, checks it, and turns over to it.

    Callers need a key (`eagleray keys create`). Runs on the Ray cluster at RAY_ADDRESS, or on an embedded Ray.

    \b
    Examples:
      eagleray keys create laptop
      eagleray serve reviews@champion
      eagleray serve serve/endpoint.yaml --port 9000
      curl -H "Authorization: Bearer $KEY" -H "Content-Type: application/json" \\
           -d '{"text": "a joy to watch"}' http://127.0.0.1:8000/predict
    """
    settings = [*(overrides or ()), *_settings(host, port, no_auth=no_auth)]
    spec, storage_uri = _spec(target, settings, storage)

    from eagleray.cli import views

    with views.of_run() as view:
        view.say("loading Ray")
        from eagleray.train import garbage, ray_environment

        garbage.collect_rarely()
        ray_environment.prepare()
        ray_environment.prepare_serve()
        from eagleray.flow import servable
        from eagleray.store.cache import cache_root
        from eagleray.train import cluster

        servable.check(spec, storage_uri)
        view.say("starting Ray" if ray_environment.is_embedded() else "connecting to the Ray cluster")
        with cluster.embedded(importing=servable.AHEAD, trains=False), cluster.connected():
            from eagleray.flow import serve as flow

            with flow.running(spec, storage=storage_uri, cache_dir=cache_root(), say=view.say) as endpoint:
                view.say(f"{', '.join(endpoint.names)} at {endpoint.url} (Ctrl-C ends it)")
                try:
                    flow.wait_for_end()
                except KeyboardInterrupt:
                    view.say("stopping")


def _settings(host: str | None, port: int | None, *, no_auth: bool) -> list[str]:
    """The options as overrides, so that they are checked as the document is."""
    given = {"host": host, "port": port, "auth": "{type: none}" if no_auth else None}
    return [f"endpoint.{key}={value}" for key, value in given.items() if value is not None]


def _spec(target: str, settings: list[str], storage: str | None) -> tuple[ServingSpec, str]:
    from eagleray.spec import document

    path = Path(target)
    if not (path.suffix in (".yaml", ".yml") or path.is_file()):
        return _of_model(target, settings), storages.uri(storage)
    if document.kind(path) == "Endpoint":
        return _of_endpoint(path, settings, storage)
    return _of_fine_tune(path, settings, storage)


def _of_endpoint(path: Path, settings: list[str], storage: str | None) -> tuple[ServingSpec, str]:
    from eagleray.cli.inputs import endpoint_storage
    from eagleray.spec import document

    found = document.load_endpoint(path, overrides=settings)
    return found.spec, endpoint_storage(found, path, storage=storage)


def _of_fine_tune(path: Path, settings: list[str], storage: str | None) -> tuple[ServingSpec, str]:
    from eagleray.cli.inputs import read_document, storage_of
    from eagleray.spec.serving import of_training

    found = read_document(path, overrides=settings, storage=storage).document
    return of_training(found), storage_of(found)


def _of_model(target: str, settings: list[str]) -> ServingSpec:
    """As if a document named this model alone."""
    from eagleray.spec import document
    from eagleray.store import references

    name = references.parse(target).name
    if "@" not in target:
        target = f"{name}@champion"
    text = f"kind: Endpoint\nmetadata: {{name: {name}}}\nspec: {{models: [{{name: {name}, model: {target}}}]}}\n"
    return document.loads_endpoint(text, source=target, overrides=settings).spec
