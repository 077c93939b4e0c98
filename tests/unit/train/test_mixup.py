"""A row and its partner are mixed where the model reads them, and their labels where it is judged."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification

from eagleray.data import pairing
from eagleray.data.pairing import PARTNER, SHARE
from eagleray.tasks.base import Batch, Sample
from eagleray.tasks.text_classification import TextClassification
from eagleray.train import mixup
from eagleray.train.feed import Feed
from tests.support import tiny_models

TASK = TextClassification("single-label", labels=("a", "b"))
ONE: Sample = {"input_ids": [2, 5, 6, 3], "label": 0}
OTHER: Sample = {"input_ids": [2, 7, 3], "label": 1}


def collate(samples: list[Sample], weights: np.ndarray) -> Batch:
    return TASK.collate(samples, weights=weights, pad_id=0, max_length=8)


def batch_of(*samples: Sample) -> Batch:
    return mixup.collating(collate)(list(samples), np.ones(len(samples), dtype=np.float32))


def loss_of(model: Any, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    plain = partial(TASK.loss, label_smoothing=0.0)
    return mixup.loss(plain, model, batch, embeddings=model.get_input_embeddings())


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Any:
    source = tiny_models.save_encoder(tmp_path_factory.mktemp("encoder"), dropout=0.0)
    torch.manual_seed(0)
    return AutoModelForSequenceClassification.from_pretrained(source, num_labels=2).eval()


def test_without_partners_nothing_changes(model: Any) -> None:
    batch = batch_of(ONE, OTHER)

    assert batch.keys() == collate([ONE, OTHER], np.ones(2, dtype=np.float32)).keys()
    assert loss_of(model, batch)[0].item() == TASK.loss(model, batch)[0].item()


@pytest.mark.parametrize(("share", "sample"), [(1.0, ONE), (0.0, OTHER)], ids=["all of the row", "all of its partner"])
def test_at_its_ends_it_is_one_of_both(model: Any, share: float, sample: Sample) -> None:
    short = {**ONE, "input_ids": [2, 6, 3]}
    sample = short if sample is ONE else OTHER
    mixed, _ = loss_of(model, batch_of({**short, PARTNER: OTHER, SHARE: share}))

    assert mixed.item() == pytest.approx(TASK.loss(model, batch_of(sample))[0].item(), rel=1e-5)


def test_embeddings_and_labels_are_mixed(model: Any) -> None:
    """As by hand: embeddings of the words mixed and handed to the model, the loss against both labels."""
    share, short = 0.3, {**ONE, "input_ids": [2, 6, 3]}
    mixed, logits = loss_of(model, batch_of({**short, PARTNER: OTHER, SHARE: share}))

    embed = model.get_input_embeddings()
    one, two = (embed(torch.tensor([sample["input_ids"]])) for sample in (short, OTHER))
    expected = model(inputs_embeds=share * one + (1 - share) * two).logits
    assert torch.allclose(logits, expected, atol=1e-6)
    log = expected.log_softmax(dim=-1)[0]
    assert mixed.item() == pytest.approx(-(share * log[0] + (1 - share) * log[1]).item(), rel=1e-5)


def test_the_model_is_as_before_and_its_embeddings_learn(model: Any) -> None:
    model.zero_grad()
    loss, _ = loss_of(model, batch_of({**ONE, PARTNER: OTHER, SHARE: 0.5}))
    loss.backward()

    embeddings = model.get_input_embeddings()
    assert not embeddings._forward_hooks and not embeddings._forward_pre_hooks
    moved = embeddings.weight.grad.abs().sum(dim=1).nonzero().flatten().tolist()
    assert moved == [2, 3, 5, 6, 7], "the words of both"


def test_pixels_are_mixed() -> None:
    def of(samples: list[Sample], weights: np.ndarray) -> Batch:
        pixels = torch.tensor([sample["pixels"] for sample in samples]).view(-1, 1, 1, 1).expand(-1, 3, 2, 2)
        labels = torch.tensor([sample["label"] for sample in samples])
        return {"pixel_values": pixels, "labels": labels, "weights": torch.from_numpy(weights)}

    one, other = {"pixels": 1.0, "label": 0}, {"pixels": 3.0, "label": 1}
    batch = mixup.collating(of)([{**one, PARTNER: other, SHARE: 0.25}], np.ones(1, dtype=np.float32))

    assert batch["pixel_values"].unique().tolist() == [2.5]
    assert (batch["labels"].item(), batch["partner_labels"].item()) == (0, 1)


class Rows:
    """Samples of one token each."""

    lengths = np.ones(8, dtype=np.int32)

    def samples(self, indices: np.ndarray) -> list[Sample]:
        return [{"index": index, "input_ids": [index], "label": index % 2} for index in indices.tolist()]

    def place(self, index: int) -> str:
        return str(index)


@pytest.mark.parametrize("num_workers", [1, 2, 3])
def test_pairs_are_the_same_for_any_number_of_workers(num_workers: int) -> None:
    def seen(rank: int) -> dict[int, tuple[int, float]]:
        found: dict[int, tuple[int, float]] = {}

        def keep(samples: list[Sample], weights: np.ndarray) -> Batch:
            for sample, weight in zip(samples, weights, strict=True):
                if weight:
                    found[sample["index"]] = sample[PARTNER]["index"], sample[SHARE]
            return {}

        group: Any = SimpleNamespace(world_size=num_workers, rank=rank)
        rows: Any = Rows()
        feed = Feed(
            rows, keep, group=group, accumulation=2, balance="length", skips_bad_samples=False, seed=5, mixup=0.4
        )
        feed.share(np.arange(8), epoch=1)
        return found

    together: dict[int, tuple[int, float]] = {}
    for rank in range(num_workers):
        together |= seen(rank)
    assert together == pairing.pairs(np.arange(8), alpha=0.4, draw=(5, 1))
