"""A document with several tasks: its data, a step and an evaluation, as one worker does them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from eagleray.data import fingerprints
from eagleray.data.mixed import MixedSplit
from eagleray.spec.finetune import FineTuneSpec
from eagleray.tasks.base import Batch, Sample
from eagleray.train import inputs, losses, targets
from eagleray.train.evaluate import evaluate
from eagleray.train.feed import Feed
from eagleray.train.group import Group
from eagleray.train.inputs import Inputs
from eagleray.train.loading import Loader
from tests.support import tiny_models, training

ALONE = Group(rank=0, world_size=1, num_local=1, device=torch.device("cpu"))


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> FineTuneSpec:
    folder = tmp_path_factory.mktemp("data")
    training.write_reviews(folder / "tone.jsonl", num_rows=20)
    words = [[str(number), "film"] * (1 + number % 3) for number in range(10)]
    rows = ({"words": each, "tags": ["O", "B-film"] * (len(each) // 2)} for each in words)
    (folder / "names.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    members = [
        {
            "name": name,
            "task": {"type": kind},
            "data": {"train": str(folder / f"{name}.jsonl"), "validation": {"fraction": 0.2}, **more},
        }
        for name, kind, more in (
            ("tone", "text-classification", {"test_fraction": 0.1}),
            ("names", "token-classification", {}),
        )
    ]
    mixing = {"type": "weights", "weights": {"tone": 1, "names": 1}}
    return training.document(
        tiny_models.save_encoder(folder / "encoder", dropout=0.0),
        Path("none"),
        task={"type": "multi-task", "tasks": members, "mixing": mixing},
        data={"train": None, "validation": {"fraction": 0.1}},
    ).spec


@pytest.fixture(scope="module")
def loaded(spec: FineTuneSpec, tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    return inputs.load(spec, cache_dir=tmp_path_factory.mktemp("cache"))


def collate_of(loaded: Inputs) -> Any:
    def collate(samples: list[Sample], weights: np.ndarray) -> Batch:
        return loaded.task.collate(samples, weights=weights, pad_id=0, max_length=32)

    return collate


def test_data_of_all_tasks(spec: FineTuneSpec, loaded: Inputs, tmp_path: Path) -> None:
    data = loaded.data
    assert isinstance(data.train, MixedSplit) and isinstance(data.test, MixedSplit)
    assert data.train.shares == {"tone": 0.5, "names": 0.5}
    assert list(data.test.parts) == ["tone"], "of the others there are no test rows"
    assert data.labels == ("tone/bad", "tone/good", "names/film") == loaded.task.labels
    assert [split.name for split in data.report.splits] == [
        *("tone/train", "tone/validation", "tone/test"),
        *("names/train", "names/validation"),
    ]
    assert all(sum(split.label_counts.values()) in (0, split.rows) for split in data.report.splits[:3])
    balance = data.report.steps.balance
    assert balance is not None and set(balance.after) == {"tone", "names"}
    assert balance.after["tone"] == balance.after["names"] != balance.before["names"]
    assert fingerprints.of_document(spec, cache_dir=tmp_path) == data.fingerprint


def test_a_step_and_an_evaluation(spec: FineTuneSpec, loaded: Inputs) -> None:
    torch.manual_seed(0)
    model = Loader().pretrained(spec, loaded)
    feed = Feed(
        loaded.data.train,
        collate_of(loaded),
        group=ALONE,
        accumulation=2,
        balance="length",
        skips_bad_samples=False,
    )
    share = feed.share(np.arange(len(loaded.data.train)))
    batches, divisor = targets.settled(loaded.task, share.batches, targets.counts(loaded.task, share.batches))
    minimised = losses.build(loaded.task, spec.train, label_counts=loaded.data.label_counts)

    total = sum(minimised(model, batch)[0] for batch in batches)
    (total / divisor).backward()  # type: ignore[operator]

    assert divisor == len(loaded.data.train)
    assert sorted(share.used) == list(range(len(loaded.data.train)))
    assert all(weight.grad is not None for weight in model.parameters())
    metrics = evaluate(
        model.eval(),
        task=loaded.task,
        split=loaded.data.validation,
        collate=collate_of(loaded),
        micro_batch_size=4,
        group=ALONE,
    )
    assert set(spec.task.metric_names) <= metrics.keys()
    assert metrics["mean"] == pytest.approx((metrics["tone/f1_macro"] + metrics["names/f1_micro"]) / 2)
    assert metrics["loss"] == pytest.approx((metrics["tone/loss"] + metrics["names/loss"]) / 2)
