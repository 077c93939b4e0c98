"""What does the final model of a run score on its test rows, where the run itself did not ask?

A trial of a sweep is chosen by validation rows alone. What comes of the sweep is measured here, once.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch

from eagleray.data.tokenized import Split
from eagleray.errors import UserError
from eagleray.flow.predict import model_directory
from eagleray.metrics import own
from eagleray.spec.finetune import FineTune
from eagleray.store import runs
from eagleray.store.objects import Objects
from eagleray.store.runs import RunRecord
from eagleray.tasks import trained
from eagleray.tasks.base import Referring
from eagleray.tasks.trained import Trained
from eagleray.train import compared, inputs, reference
from eagleray.train.evaluate import evaluate as evaluate_split
from eagleray.train.group import Group
from eagleray.train.inputs import Inputs
from eagleray.train.loading import Loader

BATCH_SIZE = 32

SplitName = Literal["validation", "test"]


def evaluate(objects: Objects, document: FineTune, record: RunRecord, *, cache_dir: Path) -> RunRecord:
    """Measure the run's final model on the test rows and write that into its record, which is returned.

    Raises:
        UserError: the run has no model, or the data have no test rows.
    """
    with model_directory(objects, record) as directory:
        found = measured(document, directory, splits=("test",), cache_dir=cache_dir)
    if not found:
        raise UserError("spec.data.test: there are no test rows to evaluate on")
    evaluated = record.model_copy(update={"metrics": {**record.metrics, **found}})
    runs.save(objects, evaluated)
    return evaluated


def measured(
    document: FineTune, directory: Path, *, splits: Sequence[SplitName], cache_dir: Path
) -> dict[str, dict[str, Any]]:
    """Return the metrics of the model in a directory, on those of the splits that the document has, by split."""
    loaded = inputs.load(document.spec, cache_dir=cache_dir)
    there = {"validation": loaded.data.validation, "test": loaded.data.test}
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = trained.load(directory, device=device)
    return {
        name: _metrics(document, model, loaded, split, writes=name in document.spec.task.written_splits)
        for name in splits
        if (split := there[name]) is not None
    }


def _metrics(document: FineTune, model: Trained, loaded: Inputs, split: Split, *, writes: bool) -> dict[str, Any]:
    device = model.device

    def collate(samples: Any, weights: Any) -> dict[str, torch.Tensor]:
        batch = model.task.collate(
            samples, weights=weights, pad_id=int(model.tokenizer.pad_token_id), max_length=model.max_length
        )
        return {name: tensor.to(device) for name, tensor in batch.items()}

    group = Group(rank=0, world_size=1, num_local=1, device=device)
    if isinstance(loaded.task, Referring):
        start: torch.nn.Module = Loader().pretrained(document.spec, loaded)
        start = start.to(device).eval()
        split = reference.measured(split, task=loaded.task, forward=start, collate=collate, group=group)
    metrics, compares = own.build(document.spec.metrics), document.spec.task.compares
    found = evaluate_split(
        model.model,
        task=model.task,
        split=split,
        collate=collate,
        micro_batch_size=BATCH_SIZE,
        group=group,
        languages=loaded.data.languages,
        compared=compared.of_document(metrics if compares == "rows" else (), model.task),
    )
    if writes:
        from eagleray.train import generated  # brings sacrebleu and nltk, which no other task needs

        found |= generated.evaluate(
            model,
            split=split,
            batch_size=BATCH_SIZE,
            group=group,
            compared=compared.of_document(metrics, model.task),
        )
    return found
