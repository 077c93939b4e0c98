"""How do the stages of a document hand on their models?

Each is a run like any other, of a document made of this one: what is done already is found on the storage, what was
interrupted goes on, and a stage whose document has changed is trained anew, with all that come after it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from eagleray.errors import UserError
from eagleray.spec import finetune
from eagleray.spec.finetune import FineTune
from eagleray.store import paths
from eagleray.store.objects import Objects
from eagleray.store.runs import RunRecord


def walk(
    document: FineTune, objects: Objects, run_of: Callable[[FineTune], RunRecord | None]
) -> tuple[FineTune, list[RunRecord]] | None:
    """The document as it is when its stages are done, and their runs; None where `run_of` has none for a stage.

    Raises:
        UserError: the storage is none that a model can be loaded from.
    """
    source = document.spec.model.source
    done = []
    for stage in document.spec.stages:
        record = run_of(finetune.of_stage(document, stage, source=source))
        if record is None:
            return None
        done.append(record)
        source = str(_directory(objects, record))
    return finetune.beginning_with(document, source), done


def _directory(objects: Objects, record: RunRecord) -> Path:
    if objects.local_path is None:
        raise UserError(
            f"spec.stages: {objects.uri} is a bucket, and a stage begins with the files of the one before it: give a "
            "storage on a directory that every node mounts, or train the stages one by one"
        )
    return objects.local_path / paths.model(record.run)
