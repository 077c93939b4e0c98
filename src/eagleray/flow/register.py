"""How does the final model of a run become a version of a registered model?

The version is everything that an endpoint needs to load it, and to prove that it answers there as it did here: the
files as the run wrote them, ONNX files where the model can be one, and rows with the answers to them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import torch

from eagleray.data.encoder import length_of
from eagleray.data.tokenized import Split
from eagleray.errors import EaglerayError, UserError
from eagleray.flow.predict import model_directory
from eagleray.model import onnx
from eagleray.serving import agreement, loaded
from eagleray.serving.backends import onnx as onnx_backend
from eagleray.serving.loaded import Loaded
from eagleray.spec import document
from eagleray.spec.endpoint import TorchBackendSpec
from eagleray.spec.finetune import FineTune
from eagleray.spec.task.base import TaskBase
from eagleray.spec.task.multi_task import SELECTOR
from eagleray.store import paths, registry, runs, safe_keys
from eagleray.store.lineage import GoldenRow, OnnxRecord, VersionFile, VersionRecord
from eagleray.store.objects import Objects
from eagleray.store.runs import LockRecord
from eagleray.store.scratch import scratch_directory
from eagleray.tasks.base import Asking, Row, Task
from eagleray.tasks.multi_task import MultiTask, member_row
from eagleray.train import inputs
from eagleray.train.inputs import Inputs

NUM_GOLDEN = 64
NUM_GOLDEN_TEXTS = 8
"""Of a model that writes: an answer takes it as long as a thousand labels, and every replica asks for them."""
MAX_FP32_DIFFERENCE = 1e-4
"""More than this between PyTorch and ONNX Runtime in fp32 is another model, not another rounding."""

Say = Callable[[str], None]
"""Told of each step, and of what is left out and why."""


@dataclass(frozen=True, slots=True)
class _Evidence:
    """What the data of the run say of its model."""

    golden: tuple[GoldenRow, ...] = ()
    evaluated_on: dict[str, str] = field(default_factory=dict)


def register(
    objects: Objects, run: str, *, name: str | None = None, cache_dir: Path, say: Say, now: datetime
) -> VersionRecord:
    """Register the final model of a run (its id, or its name for the newest) as the next version of `name`.

    `name` left out is that of the run's document. A model that is registered under the name already is not registered
    again: its version is returned.

    Raises:
        UserError: there is no such run, or it has no model.
    """
    record = runs.find(objects, run)
    if record.phase != "succeeded":
        raise UserError(f"run {record.run} is {record.phase}: only the model of a run that succeeded can be registered")
    text = runs.read_document(objects, record.run)
    made_from = document.loads(text, source=paths.document(record.run)).document
    name = name or made_from.metadata.name
    earlier = registry.of_run(objects, name, record)
    if earlier is not None:
        say(f"{record.run} is registered already, as {earlier.name}@{earlier.version}")
        _tell(objects, made_from, earlier, say=say)
        return earlier
    with (
        model_directory(objects, record) as directory,
        scratch_directory("onnx") as scratch,
    ):
        say(f"loading the model of {record.run}")
        model = loaded.load(directory, backend=TorchBackendSpec(type="torch"))
        lock = runs.read_lock(objects, record.run)
        evidence = _evidence(model, made_from, lock, cache_dir=cache_dir, say=say)
        converted = onnx_files(model, evidence.golden, scratch, say=say)
        # Only now: what fails or is killed before leaves nothing behind.
        version = registry.claim(objects, name)
        say(f"storing {name}@{version}")
        put = partial(_put_files, objects, name, version)
        files = (*put(directory), *put(scratch))
    registry.put_golden(objects, name, version, evidence.golden)
    facts = VersionRecord(
        name=name,
        version=version,
        run=record.run,
        step=record.best_step,
        task=made_from.spec.task.type,
        method=made_from.spec.method.type,
        created_at=now,
        metrics=record.metrics,
        evaluated_on=evidence.evaluated_on,
        document=made_from.model_dump(mode="json"),
        lock=lock,
        model_source=made_from.spec.model.source,
        model_sha256=lock.model_sha256,
        files=files,
        num_golden=len(evidence.golden),
        onnx=converted,
    )
    registry.commit(objects, facts)
    _tell(objects, made_from, facts, say=say)
    return facts


def _tell(objects: Objects, made_from: FineTune, facts: VersionRecord, *, say: Say) -> None:
    if made_from.spec.tracking is None:
        return
    from eagleray.flow import tracking  # brings Ray

    try:
        tracking.register(made_from, objects, facts)
    except tracking.TrackingError as error:
        say(f"warning: {error}; `eagleray register {facts.run}` again tells it")


def _put_files(objects: Objects, name: str, version: int, directory: Path) -> list[VersionFile]:
    files = [file for file in sorted(directory.rglob("*")) if file.is_file()]
    return [
        registry.put_file(objects, name, version, file.relative_to(directory).as_posix(), file)
        for file in files
        if not safe_keys.problem(file.name)  # half a file that a killed process left on a local disk
    ]


def _evidence(model: Loaded, made_from: FineTune, lock: LockRecord, *, cache_dir: Path, say: Say) -> _Evidence:
    """What can be said with the run's data, if they can still be read."""
    say("reading the rows that it was evaluated on")
    try:
        found = inputs.load(made_from.spec, cache_dir=cache_dir)
    except EaglerayError as error:
        say(f"warning: no golden set, because the run's data cannot be read any more: {error}")
        return _Evidence()
    is_same = found.data.fingerprint == lock.data_fingerprint
    if not is_same:
        say("warning: the data have changed since the run: its metrics cannot be compared with those of other versions")
    return _Evidence(
        golden=_golden(model, found, made_from.spec.task, say=say),
        evaluated_on=evaluated_on(found) if is_same else {},
    )


def _golden(model: Loaded, found: Inputs, spec: TaskBase, *, say: Say) -> tuple[GoldenRow, ...]:
    """Rows spread evenly over the test split, or else over validation, and the answers to them."""
    split = found.data.test or found.data.validation
    wanted = min(NUM_GOLDEN_TEXTS if model.writes else NUM_GOLDEN, len(split))
    raws = [asked(found.task, split.row(number * len(split) // wanted), spec) for number in range(wanted)]
    say(f"answering {wanted} golden rows")
    answers = model.answer_all(model.encode(raws))
    return tuple(GoldenRow(input=raw, output=answer) for raw, answer in zip(raws, answers, strict=True))


def asked(task: Task, row: Row, spec: TaskBase) -> dict[str, Any]:
    """A canonical row as a caller would send it: under the task's own columns, without the label or target.

    A task has the name of the column of each key of its rows as the attribute of that name.
    """
    if isinstance(task, MultiTask):
        name = row[SELECTOR]
        return {SELECTOR: name} | asked(task.members[name], member_row(row), spec.heads[name])
    if isinstance(task, Asking):
        return task.asked(row)
    return {getattr(task, key): value for key, value in row.items() if getattr(task, key) in spec.inputs}


def evaluated_on(found: Inputs) -> dict[str, str]:
    """By split the sha256 of its rows and labels: metrics on the same rows can be compared."""
    splits = {"validation": found.data.validation, "test": found.data.test}
    return {name: _sha256(split) for name, split in splits.items() if split is not None}


def _sha256(split: Split) -> str:
    """Of the rows and their labels, in any order: the same for two documents that name their columns otherwise."""
    rows = (json.dumps(split.row(index), sort_keys=True, ensure_ascii=False) for index in range(len(split)))
    digests = sorted(hashlib.sha256(row.encode()).digest() for row in rows)
    return hashlib.sha256(b"".join(digests)).hexdigest()


def onnx_files(model: Loaded, golden: tuple[GoldenRow, ...], directory: Path, *, say: Say) -> dict[str, OnnxRecord]:
    """Write the ONNX files that may be served into `directory`; what is not written is told, and why."""
    if model.writes:
        return {}
    if not golden:
        say("warning: no ONNX files, because there are no golden rows to check them with")
        return {}
    if isinstance(model.task, MultiTask):
        say("no ONNX files, because a file has one head and this model has several: serve it with `backend: torch`")
        return {}
    say("exporting to ONNX")
    fp32, int8 = (directory / loaded.onnx_file(precision) for precision in ("fp32", "int8"))
    try:
        onnx.export(model.trained.model, example(model, golden), fp32)
    except onnx.NotExportable as error:
        say(f"warning: no ONNX files, because the model cannot be exported: {error}")
        return {}
    exact = _compared(model, golden, fp32, path=loaded.onnx_file("fp32"))
    if exact.max_difference > MAX_FP32_DIFFERENCE:
        say(
            f"warning: no ONNX files, because ONNX Runtime answers otherwise than PyTorch: the largest difference is "
            f"{exact.max_difference:.2g}, {MAX_FP32_DIFFERENCE:g} is allowed"
        )
        fp32.unlink()
        return {}
    onnx.quantise(fp32, int8)
    rough = _compared(model, golden, int8, path=loaded.onnx_file("int8"))
    if model.on(onnx_backend.load(int8), tolerance=agreement.QUANTISED).check_golden(golden):
        say(
            f"warning: int8 is too rough for this model, and an endpoint will refuse it: answers differ by up to "
            f"{rough.max_difference:.2g}, {rough.agreement:.0%} of the golden rows get the same one. Serve fp32"
        )
    return {"fp32": exact, "int8": rough}


def example(model: Loaded, golden: tuple[GoldenRow, ...]) -> Mapping[str, torch.Tensor]:
    """What the model is called with for the shortest and the longest golden row."""
    samples = sorted(model.encode(row.input for row in golden), key=length_of)
    called: dict[str, torch.Tensor] = {}

    def forward(**given: torch.Tensor) -> Any:
        if not called:  # of an input in several parts the last may be one row, which is no example of any number
            called.update(given)
        return model.backend(**given)

    with torch.inference_mode():
        model.task.predict(forward, model.tokenizer, model.batch([samples[0], samples[-1]]))
    return {name: tensor.clone() for name, tensor in called.items()}


def _compared(model: Loaded, golden: tuple[GoldenRow, ...], file: Path, *, path: str) -> OnnxRecord:
    """The record of a file, which is asked all golden rows."""
    quick = model.on(onnx_backend.load(file), tolerance=agreement.EXACT)
    answers = quick.answer_all(quick.encode(row.input for row in golden))
    difference, same = agreement.nearness([row.output for row in golden], answers)
    return OnnxRecord(path=path, size_bytes=file.stat().st_size, max_difference=difference, agreement=same)
