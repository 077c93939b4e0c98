"""`eagleray render`: what a Kubernetes cluster needs for a document."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from eagleray.cli import printing
from eagleray.cli import storage as storages
from eagleray.cli.options import DocumentFile, Overrides, Storage
from eagleray.errors import DocumentError, Finding, UserError

if TYPE_CHECKING:
    from eagleray.kube.client import Api
    from eagleray.kube.manifests import Rendered
    from eagleray.kube.validate import Crds

_NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


def render(
    file: DocumentFile,
    overrides: Overrides = None,
    storage: Storage = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Write one file an object, and a kustomization.", show_default=False),
    ] = None,
    namespace: Annotated[str, typer.Option("--namespace", "-n", help="Where the objects will be.")] = "default",
    shared_cluster: Annotated[
        bool, typer.Option("--shared-cluster", help="A Ray cluster of this size that takes jobs, in place of the run.")
    ] = False,
    validate: Annotated[
        bool, typer.Option("--validate", help="Hold the objects against their schemas and rules.")
    ] = False,
    crds: Annotated[
        Path | None,
        typer.Option(
            "--crds",
            metavar="DIR",
            help="KubeRay's CRDs as YAML, for --validate. Else EAGLERAY_KUBERAY_CRDS, else those of the cluster.",
            show_default=False,
        ),
    ] = None,
    server: Annotated[
        bool, typer.Option("--server", help="Have the cluster check them, without making anything.")
    ] = False,
    diff: Annotated[bool, typer.Option("--diff", help="Print what they would change in the cluster.")] = False,
) -> None:
    """Print what a Kubernetes cluster with KubeRay needs for a document.

    A FineTune becomes a RayJob that runs `eagleray up` as far as the promotion and, where it has an `endpoint`, a
    RayService; an Endpoint becomes a RayService. Beside them stand accounts, network policies, budgets and what the
    section `cluster` asks for. Secrets are named, never written.

    \b
    Examples:
      eagleray render job.yaml --storage s3://b/runs | kubectl apply -f -
      eagleray render job.yaml --storage s3://b/runs --out manifests --validate
      eagleray render serve/endpoint.yaml --storage s3://bucket/runs --diff
    """
    if not _NAMESPACE.fullmatch(namespace):
        raise UserError(f'--namespace {namespace}: at most 63 lower-case letters, digits and "-"')
    if crds is not None and not validate:
        raise UserError("--crds is for --validate: give both, or leave it out")
    rendered = _rendered(file, overrides or [], storage=storage, namespace=namespace, shared_cluster=shared_cluster)
    for note in rendered.notes:
        printing.say(note, err=True)
    if validate:
        _validate(rendered, crds)
    if server:
        _check_at_server(rendered)
    if diff:
        _print_diff(rendered)
    if out is not None or not diff:
        _write(rendered, out)


def _rendered(
    file: Path, overrides: list[str], *, storage: str | None, namespace: str, shared_cluster: bool
) -> Rendered:
    from eagleray.kube import manifests, places
    from eagleray.spec import document

    if document.kind(file) == "Endpoint":
        if shared_cluster:
            raise UserError(f"--shared-cluster: {file} trains nothing: give a document of kind FineTune")
        served = document.load_endpoint(file, overrides=overrides)
        uri = _storage(storage, served.spec.storage)
        return manifests.endpoint(served.metadata.name, served.spec, storage_uri=uri, namespace=namespace)
    trained = document.load(file, overrides=overrides).document
    if shared_cluster:
        return manifests.shared_cluster(trained, namespace=namespace)
    uri = _storage(storage, trained.spec.storage)
    files = places.beside(trained, (Path.cwd() / file).parent)
    return manifests.whole(trained, storage_uri=uri, namespace=namespace, files=files)


def _storage(option: str | None, written: str | None) -> str:
    """As it was written: what is relative here lies elsewhere in a pod, so it is refused instead of resolved."""
    from eagleray.spec import locations

    return locations.as_said(written, option=option, environment=storages.environment())


def _validate(rendered: Rendered, folder: Path | None) -> None:
    from eagleray.kube import validate

    verdict = validate.check(rendered.manifests, _crds(folder))
    for each in verdict.unknown:
        printing.say(f"not checked: {each}", err=True)
    if verdict.wrong:
        raise DocumentError([Finding("", each) for each in verdict.wrong])
    typer.echo(f"{len(rendered.manifests) - len(verdict.unknown)} objects are valid", err=True)


def _crds(folder: Path | None) -> Crds:
    from eagleray.kube import validate

    named = os.environ.get("EAGLERAY_KUBERAY_CRDS")
    if folder is not None or named:
        return validate.read_crds(folder or Path(str(named)))
    return validate.of_crds(_api().crds())


def _check_at_server(rendered: Rendered) -> None:
    api = _api()
    refused = [refusal for manifest in rendered.manifests if (refusal := api.refusal(manifest)) is not None]
    if refused:
        raise DocumentError([Finding("", each) for each in refused])
    typer.echo(f"the cluster would take {len(rendered.manifests)} objects", err=True)


def _print_diff(rendered: Rendered) -> None:
    from eagleray.kube import difference

    api = _api()
    for manifest in rendered.manifests:
        printing.say(difference.text(api.read(manifest), api.applied(manifest)), nl=False)


def _api() -> Api:
    from eagleray.kube import client

    return client.connect(os.environ.get("KUBECONFIG"))


def _write(rendered: Rendered, out: Path | None) -> None:
    from eagleray.kube import folder, yaml_text
    from eagleray.kube.target import PART

    if out is None:
        typer.echo(yaml_text.dump_all(rendered.manifests), nl=False)
        return
    written = folder.write(out, rendered.manifests)
    apply = f"kubectl apply --server-side -k {out}"
    typer.echo(f"{len(written) - 1} objects in {out}: {apply}", err=True)
    if {each["metadata"]["labels"][PART] for each in rendered.manifests} == {"train", "serve"}:
        # An endpoint whose alias points nowhere yet does not start.
        typer.echo(f"first {apply} -l {PART}=train, and with {PART}=serve once its RayJob has succeeded", err=True)
