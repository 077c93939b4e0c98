"""Each stage begins with the model of the one before, and the document itself with that of the last."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from eagleray.errors import DocumentError, UserError
from eagleray.flow import stages
from eagleray.spec import document, locations
from eagleray.spec.finetune import FineTune
from eagleray.store import paths
from eagleray.store.objects import open_storage
from eagleray.store.runs import RunRecord
from eagleray.train import preflight
from tests.support import documents
from tests.support.records import new_run

WORDS = "{name: words, task: {type: masked-lm}, data: {train: raw.jsonl}, train: {epochs: 2}}"
ORDER = "{name: order, task: {type: next-sentence}, data: {train: texts.jsonl, validation: {file: held.jsonl}}}"


def _document(*given: str, **sections: str) -> FineTune:
    return document.loads(documents.text(stages=f"[{', '.join(given)}]", **sections), source="a.yaml").document


def _finding(*given: str, **sections: str) -> str:
    with pytest.raises(DocumentError) as raised:
        _document(*given, **sections)
    (finding,) = raised.value.findings
    return f"{finding.path}: {finding.message}"


def test_each_begins_with_the_model_of_the_one_before(tmp_path: Path) -> None:
    objects = open_storage(str(tmp_path))
    seen: list[FineTune] = []

    def run_of(made: FineTune) -> RunRecord:
        seen.append(made)
        return new_run(objects, name=made.metadata.name)

    walked = stages.walk(_document(WORDS, ORDER), objects, run_of)

    assert walked is not None
    last, runs = walked
    assert [run.run for run in runs] == ["films-words-0001", "films-order-0001"]
    models = [str(tmp_path / paths.model(run.run)) for run in runs]
    assert [made.spec.model.source for made in (*seen, last)] == ["owner/encoder", *models]
    assert [(made.spec.task.type, made.spec.train.epochs) for made in seen] == [("masked-lm", 2), ("next-sentence", 3)]
    assert last.spec.stages == ()
    assert last.spec.task.type == "text-classification"
    assert FineTune.model_validate_json(seen[0].model_dump_json()) == seen[0]


def test_without_a_run_of_a_stage_nothing_is_known_of_the_next(tmp_path: Path) -> None:
    asked: list[str] = []

    def run_of(made: FineTune) -> None:
        asked.append(made.metadata.name)

    assert stages.walk(_document(WORDS, ORDER), open_storage(str(tmp_path)), run_of) is None
    assert asked == ["films-words"]


def test_a_bucket_is_refused() -> None:
    objects = open_storage("memory://")
    with pytest.raises(UserError, match="is a bucket, and a stage begins with the files of the one before"):
        stages.walk(_document(WORDS), objects, lambda made: new_run(objects, name=made.metadata.name))


@pytest.mark.parametrize(
    ("given", "finding"),
    [
        pytest.param(
            (WORDS, WORDS),
            "spec.stages[1].name: another stage is called words already: give it a name of its own",
            id="one name",
        ),
        pytest.param(
            (WORDS.replace("train: {", "method: {type: lora}, train: {"),),
            "spec.stages[0].method.type: `lora` leaves an adapter, and what comes next begins with a whole model: "
            "use `full`",
            id="an adapter",
        ),
        pytest.param(
            (WORDS.replace("epochs: 2", "early_stopping: {metric: f1_macro, mode: max}"),),
            "spec.stages[0].train.early_stopping.metric: `f1_macro` is not reported by this task, which reports "
            "loss, perplexity, token_accuracy, num_tokens",
            id="a metric of another task",
        ),
        pytest.param(
            (WORDS.replace("epochs: 2", "global_batch_size: 1"),),
            "spec.stages[0].train.global_batch_size: 1 is below scale.num_workers 2: every worker needs a sample "
            "a step",
            id="fewer samples than workers",
        ),
        pytest.param(
            (WORDS.replace("name: words", f"name: {'w' * 36}"),),
            f"spec.stages[0].name: its run would be films-{'w' * 36}: at most 40 characters, shorten it",
            id="a name too long",
        ),
    ],
)
def test_what_does_not_fit_is_told_at_its_stage(given: tuple[str, ...], finding: str) -> None:
    assert _finding(*given, scale="{num_workers: 2}") == finding


def test_paths_of_stages_are_read_against_the_document() -> None:
    data = locations.absolute(_document(ORDER), Path("/jobs")).spec.stages[0].data

    assert (data.train, data.validation.file) == ("/jobs/texts.jsonl", "/jobs/held.jsonl")


def test_one_run_alone_is_refused() -> None:
    spec: Any = _document(WORDS, ORDER).spec
    with pytest.raises(UserError, match="words, order must be trained before: `eagleray up FILE --until train`"):
        preflight.check_alone(spec)
