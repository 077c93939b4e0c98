"""What tells the data of a document from any others, before they are prepared?"""

from __future__ import annotations

from pathlib import Path

from eagleray.data import mixed, prepare
from eagleray.spec.data import of_member
from eagleray.spec.finetune import FineTuneSpec
from eagleray.spec.task import MultiTaskSpec


def of_document(spec: FineTuneSpec, *, cache_dir: Path) -> str:
    """What `Prepared.fingerprint` of a document would be.

    Raises:
        DataError: there are no such data.
        StorageError: the cache, which remembers what large files hold, cannot be written.
    """
    seed = spec.train.seed
    if not isinstance(spec.task, MultiTaskSpec):
        return prepare.fingerprint(spec.data, seed=seed, cache_dir=cache_dir, content=spec.task.content)
    each = {
        member.name: prepare.fingerprint(
            of_member(member.data, spec.data), seed=seed, cache_dir=cache_dir, content=member.task.content
        )
        for member in spec.task.tasks
    }
    return mixed.fingerprint(each, spec.task.mixing, seed=seed)
