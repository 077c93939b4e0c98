"""Which place each path of a document means, wherever the command was started."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from eagleray.errors import UserError
from eagleray.spec import origins, together
from eagleray.spec.data import DataSpec, resources, with_resources
from eagleray.spec.document import Loaded
from eagleray.spec.finetune import FineTune
from eagleray.spec.metrics import FunctionMetricSpec, MetricSpec
from eagleray.spec.origins import Origin

DEFAULT_STORAGE = "./runs"

# `owner/name`, or the bare name of the hub's oldest models (`gpt2`).
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
_FILE_SUFFIXES = (".gguf", ".safetensors", ".bin")
_USER_AND_PASSWORD = re.compile(r"[^/@]*:.*@", re.DOTALL)  # a password may hold a slash, a bucket's name no colon
_SIGNATURE = re.compile(r"[?&](sig|signature|x-(amz|goog)-[\w-]+|awsaccesskeyid)=", re.IGNORECASE)


def absolute(document: FineTune, base: Path) -> FineTune:
    """A document whose relative paths are absolute, read against `base`. URIs and hub ids stay as they are."""
    spec = document.spec
    stages = tuple(stage.model_copy(update={"data": _data(stage.data, base)}) for stage in spec.stages)
    model = spec.model.model_copy(update={"source": _model_source(spec.model.source, base)})
    storage = _optional(spec.storage, base)
    places: dict[str, Any] = {"storage": storage, "data": _data(spec.data, base), "stages": stages, "model": model}
    places["metrics"] = tuple(_metric(each, base) for each in spec.metrics)
    places["task"] = together.with_sources(spec.task, lambda key, source: location(source, base))
    if spec.self_training is not None:
        unlabeled = location(spec.self_training.unlabeled, base)
        places["self_training"] = spec.self_training.model_copy(update={"unlabeled": unlabeled})
    return document.model_copy(update={"spec": spec.model_copy(update=places)})


def storage(
    loaded: Loaded | None = None, *, option: str | None, environment: str | None, current: Path
) -> tuple[str, Origin]:
    """Where records are, and who said so: `--storage`, EAGLERAY_STORAGE, the document, else `./runs`.

    What the command line and the environment say is read against the `current` directory; the document's storage
    against the document's folder.
    """
    written = None if loaded is None else loaded.document.spec.storage
    said = as_said(written, option=option, environment=environment)
    if option is not None:
        return location(said, current), Origin("--storage")
    if environment:
        return location(said, current), Origin("EAGLERAY_STORAGE")
    if loaded is not None and written is not None:
        return location(said, _folder(loaded, current)), loaded.origins["spec.storage"]
    return location(said, current), origins.DEFAULT


def as_said(written: str | None, *, option: str | None, environment: str | None) -> str:
    """Where records are, in the words of who said so. For a job elsewhere, which refuses what is relative."""
    if option == "":
        raise UserError("--storage is empty: give a directory or a URI, as ./runs or s3://bucket/prefix")
    return option or environment or written or DEFAULT_STORAGE


def resolve(loaded: Loaded, *, option: str | None, environment: str | None, current: Path) -> Loaded:
    """The document as a run takes it: every path absolute, the storage decided."""
    uri, origin = storage(loaded, option=option, environment=environment, current=current)
    document = absolute(loaded.document, _folder(loaded, current))
    document = document.model_copy(update={"spec": document.spec.model_copy(update={"storage": uri})})
    return replace(loaded, document=document, origins={**loaded.origins, "spec.storage": origin})


def check_holds_no_keys(storage: str) -> None:
    """Raise UserError for user and password, or a signature, in a URI: it is written down with every run."""
    scheme, separator, rest = storage.partition("://")
    has_password = _USER_AND_PASSWORD.match(unquote(rest)) is not None
    if separator and (has_password or _SIGNATURE.search(unquote(rest))):
        shown = "***" if has_password else f"{rest.partition('?')[0]}?***"
        raise UserError(
            f"{scheme}://{shown}: a storage's URI is written down with every run and must hold no keys: set them in "
            "the environment (s3: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; az: AZURE_STORAGE_SAS_TOKEN)"
        )


def check_outlives_job(storage: str) -> None:
    """Raise UserError for a relative directory: a job on a cluster would write into a folder that goes with it."""
    if "://" in storage or Path(storage).is_absolute():
        return
    raise UserError(
        f"storage {storage} is relative: on the cluster it would lie in the job's temporary folder and vanish with it. "
        "Give a bucket (s3://bucket/prefix, gs://…, az://…) or the absolute path of a mount that all nodes share, by "
        "--storage, EAGLERAY_STORAGE or spec.storage"
    )


def link_out(file: Path, source: Path, *, is_model: bool = False) -> str | None:
    """Say where a file of a source leads out of it: a link must not take other files of this machine along.

    What the source itself links to is what was named. The hub's cache links from `snapshots/REVISION` to `blobs`
    beside it, which is a model's alone.
    """
    inside, real = [source.resolve()], file.resolve()
    if is_model and inside[0].parent.name == "snapshots":
        inside.append(inside[0].parents[1] / "blobs")
    if any(real.is_relative_to(place) for place in inside):
        return None
    whose = "the model's directory" if is_model else source
    return (
        f"{file} is a link to {real}, outside {whose}, and would be uploaded with it: put the file itself there, or "
        "remove the link"
    )


def is_model(key: str) -> bool:
    """Whether what a key of a document names is a model, which may be one of the hub."""
    return key == "spec.model.source" or key.endswith((".there", ".back"))


def _data(data: DataSpec, base: Path) -> DataSpec:
    validation = data.validation.model_copy(update={"file": _optional(data.validation.file, base)})
    places = {"train": _optional(data.train, base), "validation": validation, "test": _optional(data.test, base)}
    steps = {
        place: location(source, base) if place.endswith(".source") else _model_source(source, base)
        for place, source in resources(data).items()
    }
    return with_resources(data.model_copy(update=places), steps)


def _folder(loaded: Loaded, current: Path) -> Path:
    return (current / loaded.path).parent


def _optional(value: str | None, base: Path) -> str | None:
    return None if value is None else location(value, base)


def location(value: str, base: Path) -> str:
    """A path or URI as it is, read against `base` where it is a relative path."""
    if "://" in value:
        return value
    return str(base.absolute() / _expanded(value))


def is_hub_id(source: str) -> bool:
    """Whether a model's source may be one of the hub's; a path that is there comes before it."""
    return _HUB_ID.fullmatch(source) is not None and not source.endswith(_FILE_SUFFIXES)


def _model_source(value: str, base: Path) -> str:
    if is_hub_id(value) and not (base / value).exists():
        return value
    return location(value, base)


def _metric(metric: MetricSpec, base: Path) -> MetricSpec:
    """A metric whose code is named absolutely, where it is a file; a module beside the document is one."""
    if isinstance(metric, FunctionMetricSpec):
        file = metric.place if metric.place.endswith(".py") else f"{metric.place.replace('.', '/')}.py"
        if metric.place.endswith(".py") or (base / file).is_file():
            return metric.model_copy(update={"source": f"{location(file, base)}:{metric.function}"})
        return metric
    is_path = metric.source.startswith((".", "~")) or metric.source.endswith(".py")
    if not is_path and not (base / metric.source).exists():
        return metric
    return metric.model_copy(update={"source": location(metric.source, base)})


def _expanded(value: str) -> Path:
    try:
        return Path(value).expanduser()
    except RuntimeError as error:
        raise UserError(f"{value}: there is no home directory for ~ here: write the whole path") from error
