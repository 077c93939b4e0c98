"""What of a document can be found wrong in a moment, before Ray is started and torch is imported?"""

from __future__ import annotations

import importlib.util
from pathlib import Path

from eagleray.data import sources as data_sources
from eagleray.data.augment import steps as augmentation
from eagleray.errors import UserError
from eagleray.metrics import own, wordnet
from eagleray.model import sources as model_sources
from eagleray.spec import together
from eagleray.spec.finetune import FineTuneSpec
from eagleray.store import sources
from eagleray.store.objects import Objects
from eagleray.train.ray_environment import is_embedded
from eagleray.train.resources import check_fits, this_machine, worker_shape


def check(spec: FineTuneSpec, objects: Objects) -> None:
    """Look at the storage, at what the document names, and whether this machine, if it is to train, is large enough.

    Reads no rows and no weights.

    Raises:
        UserError: a model or data is not there or must not be loaded, or the workers can never all run.
        StorageError: the storage cannot be written.
    """
    objects.check_writable()
    if objects.local_path is None and (spec.stages or spec.self_training is not None):
        key = "stages" if spec.stages else "self_training"
        raise UserError(
            f"spec.{key}: the storage {objects.uri} is no directory, and what one run leaves is read by the next as "
            "files: give a directory that all nodes see, by --storage or spec.storage"
        )
    check_sources(spec)
    if spec.tracking is not None and importlib.util.find_spec("mlflow") is None:
        raise UserError(
            "spec.tracking.type: mlflow needs its client, which is not installed: pip install 'eagleray[track]'"
        )
    if is_embedded():
        shape = worker_shape(spec.scale, embedded=True)
        check_fits(spec.scale, shape, this_machine(), where="this machine")


def check_alone(spec: FineTuneSpec) -> None:
    """Raise UserError for a document that is more than one run."""
    if spec.stages:
        names = ", ".join(stage.name for stage in spec.stages)
        raise UserError(
            f"spec.stages: {names} must be trained before: `eagleray up FILE --until train` does it all, or leave out "
            "spec.stages"
        )


def check_sources(spec: FineTuneSpec) -> None:
    """Raise UserError where model or data are not on this machine, or must not be loaded; hub ids are not looked up."""
    model_sources.check(
        spec.model.source, allow_pickle=spec.model.allow_pickle, allow_remote_code=spec.model.allow_remote_code
    )
    named = {"train": spec.data.train, "validation": spec.data.validation.file, "test": spec.data.test}
    for split, source in named.items():
        if source is not None:
            data_sources.locate(source, split=split)
    for place, source in together.sources(spec.task).items():
        data_sources.locate(source, split=place.rpartition(".data.")[2].partition(".")[0])
    if spec.self_training is not None:
        data_sources.locate(spec.self_training.unlabeled, split="train")
    own.check(spec.metrics)
    _check_wordnet(spec)
    if spec.data.augment is not None:
        augmentation.resources(spec.data.augment)


def _check_wordnet(spec: FineTuneSpec) -> None:
    folder = getattr(spec.task, "wordnet", None)
    if folder is None:
        return
    missing = [file.name for file in wordnet.files(Path(sources.resolve(folder))) if not file.is_file()]
    if missing:
        raise UserError(
            f"spec.task.wordnet: {folder} has no {missing[0]}: name a folder with WordNet's files (Debian's package "
            "wordnet-base puts them into /usr/share/wordnet), or leave the key out, and synonyms do not count"
        )
