"""The best trials of a sweep become a run that is measured, answers, and is registered like any."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import torch

from eagleray.errors import UserError
from eagleray.flow import ensembles
from eagleray.flow.predict import model_directory
from eagleray.flow.register import register
from eagleray.serving import combine, loaded
from eagleray.spec.document import dump
from eagleray.spec.endpoint import TorchBackendSpec
from eagleray.spec.finetune import FineTune
from eagleray.store import events, registry, runs, sweeps
from eagleray.store.objects import Objects, open_storage
from tests.support import sweep_events, tiny_models
from tests.support.adapters import adapter
from tests.support.records import LOCK, NOW, new_checkpoint
from tests.support.training import document, write_reviews

TEXTS = [{"text": "a fine and moving film"}, {"text": "dull"}, {"text": "no joke works"}]
SCORES = (0.5, 0.9, 0.7, 0.8)
"""By trial: the best three are 1, 3 and 2."""
TORCH = TorchBackendSpec(type="torch")


@pytest.fixture
def objects(tmp_path: Path) -> Objects:
    return open_storage(str(tmp_path / "storage"))


def finished_sweep(objects: Objects, scratch: Path, *, has_seeds: bool = False) -> runs.RunRecord:
    """A sweep of four trials, adapters that nobody trained, each as good as SCORES says.

    With `has_seeds` each has a seed of its own, in place of a learning rate.
    """
    base = tiny_models.save_encoder(scratch / "base", dropout=0.0)
    write_reviews(scratch / "rows.jsonl", num_rows=40)
    made_from: FineTune = document(
        base,
        scratch / "rows.jsonl",
        task={"type": "text-classification"},
        data={"test_fraction": 0.25},
        method={"type": "lora", "rank": 2},
        sweep={"space": {"train.learning_rate": {"uniform": [1e-4, 1e-3]}}, "budget": {"trials": 4}},
    )
    run = runs.create(objects, name="films", document=dump(made_from), lock=LOCK, now=NOW, kind=sweeps.KIND)
    record = run.model_copy(update={"phase": "succeeded"})
    runs.save(objects, record)
    told = [sweep_events.started()]
    for number, score in enumerate(SCORES):
        params = {"train.seed": number} if has_seeds else None
        told += [sweep_events.created(number, params), sweep_events.begun(number)]
        told += [sweep_events.reported(number, 10, f1_macro=score), sweep_events.ended(number, 10)]
        folder = adapter(scratch / f"trial-{number}", base, "text-classification", seed=number)
        files = {file.name: file.read_bytes() for file in folder.iterdir()}
        trials = sweeps.open_trials(objects.uri, record.run)
        new_checkpoint(
            trials, f"trial-{number}-0001", step=10, scratch=scratch / f"files-{number}", files=files, f1_macro=score
        )
    writer = events.Writer(objects, record.run)
    for each in told:
        writer.append(each)
    return record


def made(objects: Objects, scratch: Path, sweep: runs.RunRecord, **options: Any) -> runs.RunRecord:
    settings = {"num_best": 3, "combine": "mean", "is_weighted": False, "say": lambda what: None, **options}
    return ensembles.make(objects, sweep, cache_dir=scratch / "cache", now=lambda: datetime.now(UTC), **settings)


def answers(folder: Path) -> list[dict[str, Any]]:
    model = loaded.load(folder, backend=TORCH)
    return model.answer_all(model.encode(TEXTS))


@pytest.mark.parametrize(
    ("how", "is_weighted", "weights"),
    [
        pytest.param("mean", False, (1.0, 1.0, 1.0), id="mean"),
        pytest.param("mean", True, (0.9, 0.8, 0.7), id="weighted by validation"),
        pytest.param("vote", False, (1.0, 1.0, 1.0), id="majority"),
    ],
)
def test_the_best_answer_together(
    objects: Objects, tmp_path: Path, how: Any, is_weighted: bool, weights: tuple[float, ...]
) -> None:
    sweep = finished_sweep(objects, tmp_path)
    record = made(objects, tmp_path, sweep, combine=how, is_weighted=is_weighted)

    by_row = zip(*(answers(tmp_path / f"trial-{number}") for number in (1, 3, 2)), strict=True)
    expected = [combine.combined(row, weights, how=how) for row in by_row]
    with model_directory(objects, record) as folder:
        for found, wanted in zip(answers(folder), expected, strict=True):
            assert found["label"] == wanted["label"]
            assert found["probabilities"] == pytest.approx(wanted["probabilities"], abs=2e-3)
    assert (record.run, record.phase) == ("films-ensemble-0001", "succeeded")
    assert {"validation", "test"} == record.metrics.keys()
    assert {"f1_macro", "loss"} <= record.metrics["test"].keys()


def test_a_soup_is_one_model(objects: Objects, tmp_path: Path) -> None:
    record = made(objects, tmp_path, finished_sweep(objects, tmp_path), combine="soup", num_best=2)

    with model_directory(objects, record) as folder:
        one, other, mean = (
            loaded.load(each, backend=TORCH).trained.model
            for each in (tmp_path / "trial-1", tmp_path / "trial-3", folder)
        )
        assert not (folder / "members").exists()
    for name, weight in mean.state_dict().items():
        if weight.is_floating_point():
            expected = (one.state_dict()[name] + other.state_dict()[name]) / 2
            torch.testing.assert_close(weight, expected)


def test_it_is_registered_with_its_golden_rows(objects: Objects, tmp_path: Path) -> None:
    record = made(objects, tmp_path, finished_sweep(objects, tmp_path), num_best=2)

    version = register(objects, record.run, cache_dir=tmp_path / "cache", say=lambda what: None, now=NOW)

    assert version.name == "films-ensemble"
    assert {file.path.partition("/")[0] for file in version.files} >= {"members", "onnx", "eagleray.json"}
    registry.fetch(objects, version, tmp_path / "fetched")
    assert loaded.load(tmp_path / "fetched", backend=TORCH).check_golden(registry.golden(objects, version)) == []


def test_no_more_are_taken_than_there_are(objects: Objects, tmp_path: Path) -> None:
    sweep = finished_sweep(objects, tmp_path)

    with pytest.raises(UserError, match="has 4 trials whose best checkpoint is whole"):
        made(objects, tmp_path, sweep, num_best=5)
    assert [each.name for each in runs.list_runs(objects)] == ["films"]


def test_what_was_trained_on_other_rows_is_refused(objects: Objects, tmp_path: Path) -> None:
    sweep = finished_sweep(objects, tmp_path, has_seeds=True)  # which draw the rows to validate on
    told: list[str] = []

    with pytest.raises(UserError, match=r"trials 1 and 3 have other rows .*search neither train\.seed nor spec\.data"):
        made(objects, tmp_path, sweep, say=told.append)
    assert told == [], "nothing is fetched"
    assert [each.name for each in runs.list_runs(objects)] == ["films"]
