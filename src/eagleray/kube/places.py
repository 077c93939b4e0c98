"""What does a document name that the pods of a cluster would not see?"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from eagleray.errors import DocumentError, Finding
from eagleray.kube import volumes
from eagleray.spec import locations, metrics, together
from eagleray.spec.cluster import ClusterSpec
from eagleray.spec.data import resources
from eagleray.spec.finetune import FineTune
from eagleray.spec.serving import ServingSpec

MAX_BYTES = 900_000
"""Of the files beside a document: Kubernetes takes no ConfigMap above 1 MiB, and the document is in it too."""

BUCKETS = ("s3://", "gs://", "az://")


def check_name(name: str) -> None:
    """Raise DocumentError for a name that a document may have and a Service may not."""
    if not name[0].isalpha():
        raise _error(
            "metadata.name", f"{name} begins with a digit, which no Service in Kubernetes may: begin with a letter"
        )


def check_storage(storage: str, cluster: ClusterSpec) -> None:
    """Raise UserError for a storage that only one pod would see, or whose URI holds a key."""
    locations.check_holds_no_keys(storage)
    locations.check_outlives_job(storage)
    if storage.startswith(BUCKETS) or _on_claim(storage.removeprefix("file://"), cluster):
        return
    mount = (
        f"below {cluster.claim.mount_path}, where cluster.claim is mounted" if cluster.claim else "on a shared volume"
    )
    raise _error(
        "spec.storage",
        f"{storage} would lie in one pod and vanish with it: give a bucket (s3://bucket/prefix, gs://…, az://…) or a "
        f"directory {mount}{'' if cluster.claim else ': name its claim in cluster.claim'}",
    )


def check_training(document: FineTune, files: volumes.Files) -> None:
    """Raise DocumentError with each path of a training document that its pods would not see."""
    cluster = document.spec.cluster or ClusterSpec()
    found = [
        Finding(key, f"{source} is there on one machine alone: {_instead(cluster)}")
        for key, source in sources(document)
        if not (_is_remote(key, source) or _on_claim(source, cluster) or _goes_along(source, files))
    ]
    if found:
        raise DocumentError(found)


def check_endpoint(spec: ServingSpec) -> None:
    """Raise DocumentError for what an endpoint cannot be behind a Service."""
    endpoint, cluster = spec.endpoint, spec.cluster or ClusterSpec()
    found = []
    if endpoint.auth.type == "none":
        message = "`none` is for one machine alone, and pods answer on every address: use `keys`"
        found.append(Finding("spec.endpoint.auth.type", message))
    if endpoint.tls is not None:
        message = "ends at the ingress on Kubernetes: leave it out, and give cluster.ingress.tls_secret"
        found.append(Finding("spec.endpoint.tls", message))
    for key in ("file", "key_file"):
        named = getattr(endpoint.auth, key, None)
        if named is not None and not _is_mounted(named, cluster):
            message = (
                f"{named} is in no Secret that is mounted: name it in cluster.secret_files, as {{my-keys: /etc/keys}}"
            )
            found.append(Finding(f"spec.endpoint.auth.{key}", message))
    if found:
        raise DocumentError(found)


def beside(document: FineTune, folder: Path) -> dict[str, bytes]:
    """The small local files that a document names relative to its folder; they can go with it.

    Raises DocumentError where one is missing, lies elsewhere, be it by a link, or all together are too large.
    """
    cluster = document.spec.cluster or ClusterSpec()
    files: dict[str, bytes] = {}
    for key, source in sources(document):
        is_here = (folder / source).exists()  # as `eagleray train` reads it: a path that is there is no hub id
        if _on_claim(source, cluster) or (_is_remote(key, source) and not is_here):
            continue
        if Path(source).is_absolute() or ".." in PurePosixPath(source).parts:
            raise _error(key, f"{source} is there on one machine alone: {_instead(cluster)}")
        found = list(_below(folder, source))
        if not found:
            raise _error(key, f"{source} is not there: check the path, which is relative to the document")
        if (problem := _link_out(key, found, folder / source, folder)) is not None:
            raise _error(key, problem)
        for file in found:
            size = file.stat().st_size + sum(map(len, files.values()))
            if size > MAX_BYTES:
                raise _error(key, f"{source} is too large to go with the document: {_instead(cluster)}")
            try:
                files[file.relative_to(folder).as_posix()] = file.read_bytes()
            except OSError as error:
                raise _error(key, f"{file} cannot be read: {error.strerror}") from error
    return files


def sources(document: FineTune) -> list[tuple[str, str]]:
    """Everything that a training document reads, by its key."""
    data = document.spec.data
    named: dict[str, str | None] = {
        "spec.model.source": document.spec.model.source,
        "spec.data.train": data.train,
        "spec.data.validation.file": data.validation.file,
        "spec.data.test": data.test,
        **resources(data),
        **metrics.files(document.spec.metrics),
        **together.sources(document.spec.task),
        "spec.self_training.unlabeled": document.spec.self_training.unlabeled if document.spec.self_training else None,
    }
    for number, stage in enumerate(document.spec.stages):
        key = f"spec.stages[{number}].data"
        named |= {f"{key}.train": stage.data.train, f"{key}.validation.file": stage.data.validation.file}
        named |= {f"{key}.test": stage.data.test, **resources(stage.data, key)}
    return [(key, value) for key, value in named.items() if value is not None]


def _below(folder: Path, source: str) -> Iterator[Path]:
    named = [folder / source] if (folder / source).exists() else sorted(folder.glob(source))
    for each in named:
        yield from ([each] if each.is_file() else sorted(path for path in each.rglob("*") if path.is_file()))


def _link_out(key: str, files: list[Path], source: Path, folder: Path) -> str | None:
    """What leads out of the document's folder, or of the source where it is a folder of its own."""
    outer = [(source, folder)] if source.exists() else []
    pairs = [*outer, *((file, source if source.exists() else folder) for file in files)]
    told = (locations.link_out(file, place, is_model=locations.is_model(key)) for file, place in pairs)
    return next((problem for problem in told if problem is not None), None)


def _is_remote(key: str, source: str) -> bool:
    return "://" in source or (locations.is_model(key) and locations.is_hub_id(source))


def _on_claim(path: str, cluster: ClusterSpec) -> bool:
    return cluster.claim is not None and PurePosixPath(path).is_relative_to(cluster.claim.mount_path)


def _is_mounted(path: str, cluster: ClusterSpec) -> bool:
    return _on_claim(path, cluster) or any(
        PurePosixPath(path).is_relative_to(mount) for mount in cluster.secret_files.values()
    )


def _goes_along(source: str, files: volumes.Files) -> bool:
    return any(PurePosixPath(path).is_relative_to(source) or PurePosixPath(path).match(source) for path in files)


def _instead(cluster: ClusterSpec) -> str:
    claim = f"below {cluster.claim.mount_path}" if cluster.claim else "on a shared volume (cluster.claim)"
    return f"use a place {claim}, a package (pkg://) or the hub"


def _error(path: str, message: str) -> DocumentError:
    return DocumentError([Finding(path, message)])
