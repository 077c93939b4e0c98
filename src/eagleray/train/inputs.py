"""What a run works on, made from its document: tokenizer, task and prepared data. The same at driver and workers."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eagleray import tasks
from eagleray.data import mixed
from eagleray.data.prepare import Prepared, prepare
from eagleray.errors import DataError
from eagleray.spec import method
from eagleray.spec.data import DataSpec, of_member
from eagleray.spec.finetune import FineTuneSpec
from eagleray.spec.task import MultiTaskSpec, TaskSpec
from eagleray.tasks import preprocessing
from eagleray.tasks.base import Task
from eagleray.train.group import Group


@dataclass(frozen=True, slots=True)
class Inputs:
    """Tokenizer, task (with its label set) and data."""

    tokenizer: Any  # of text; for images their reader
    task: Task
    data: Prepared


def load(spec: FineTuneSpec, *, cache_dir: Path, on_progress: Callable[[str, int], None] | None = None) -> Inputs:
    """Prepare what the document names, or open what an earlier call left in the cache.

    Every process may call it: the first on a node does the work, the others wait for it and open the result.
    """
    task = tasks.build(spec.task)
    tokenizer = preprocessing.load(
        task, source=spec.model.source, revision=spec.model.revision, allow_remote_code=spec.model.allow_remote_code
    )
    preprocessing.check_max_length(
        spec.data.max_length,
        preprocessor=tokenizer,
        source=spec.model.source,
        revision=spec.model.revision,
        allow_remote_code=spec.model.allow_remote_code,
        num_virtual_tokens=method.num_virtual_tokens(spec.method),
    )
    made_by = preprocessing.fingerprint(tokenizer)

    def prepared(spec_of: TaskSpec, data: DataSpec) -> Prepared:
        return prepare(
            data,
            task=tasks.build(spec_of),
            tokenizer=tokenizer,
            tokenizer_fingerprint=made_by,
            seed=spec.train.seed,
            cache_dir=cache_dir,
            content=spec_of.content,
            on_progress=on_progress,
        )

    if isinstance(spec.task, MultiTaskSpec):
        each = {member.name: prepared(member.task, of_member(member.data, spec.data)) for member in spec.task.tasks}
        data = mixed.together(each, spec.task.mixing, seed=spec.train.seed)
    else:
        data = prepared(spec.task, spec.data)
    return Inputs(tokenizer=tokenizer, task=tasks.ready(task, labels=data.labels, tokenizer=tokenizer), data=data)


def check_alike(data: Prepared, group: Group) -> None:
    """Raise DataError where the workers' samples differ in number or length: each would take other batches. Collective.

    Nodes prepare the same rows each for itself, and a translating model may write other words on another processor.
    """
    splits = (data.train, data.validation, data.test)
    digest = hashlib.sha256(b"".join(b"" if split is None else split.lengths.tobytes() for split in splits)).hexdigest()
    seen = group.exchange((digest, group.node))
    other = next(((rank, node) for rank, (found, node) in enumerate(seen) if found != seen[0][0]), None)
    if other is not None:
        rank, node = other
        raise DataError(
            f"worker {rank} (node {node or 'this one'}) has prepared other samples than worker 0 "
            f"(node {seen[0][1] or 'this one'}): let nodes share what is prepared once, with EAGLERAY_CACHE on a mount "
            "that all of them see, or leave the step out that differs (spec.data.augment: back-translation)"
        )
