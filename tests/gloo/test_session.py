"""What a worker's part of a run leaves behind: metrics, checkpoints, a model that answers as it was measured."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from eagleray.data.formats import SourceRow
from eagleray.errors import DataError
from eagleray.flow.predict import predict
from eagleray.spec.finetune import FineTune
from eagleray.store import checkpoints, events, mistakes, times
from eagleray.store.objects import open_storage
from eagleray.train import inputs
from eagleray.train.group import Group
from tests.support import tiny_models
from tests.support.gloo import GlooWorkers
from tests.support.training import GlooRun, Trained, document, run_into_error, train, write_reviews

Workers = Callable[[int], GlooWorkers]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_models.save_encoder(tmp_path_factory.mktemp("encoder"))


@pytest.fixture(scope="module")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_models.save_decoder(tmp_path_factory.mktemp("decoder"))


@pytest.fixture(scope="module")
def reviews(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "reviews.jsonl"
    write_reviews(path, num_rows=90)
    return path


@pytest.fixture
def run(gloo_workers: Workers, tmp_path: Path) -> Callable[..., Trained]:
    def run(world_size: int, model: Path, data: Path, /, **sections: Any) -> Trained:
        scale = {"num_workers": world_size, **sections.pop("scale", {})}
        wanted = document(model, data, scale=scale, **sections)
        return train(gloo_workers(world_size), wanted, tmp_path / "storage", tmp_path / "cache")

    return run


@pytest.mark.parametrize("method", ["full", "lora"])
@pytest.mark.parametrize("stage", [0, 3])
def test_the_model_predicts_as_it_was_tested(
    run: Callable[..., Trained], encoder: Path, reviews: Path, tmp_path: Path, method: str, stage: int
) -> None:
    test = tmp_path / "test.jsonl"
    write_reviews(test, num_rows=37)
    rows = [json.loads(line) for line in test.read_text(encoding="utf-8").splitlines()]

    trained = run(
        2,
        encoder,
        reviews,
        data={"test": str(test)},
        method={"type": method},
        train={"epochs": 6, "learning_rate": 5e-3},
        scale={"zero": {"stage": stage}},
    )
    answers = list(predict(open_storage(str(tmp_path / "storage")), trained.run, _placed(rows), batch_size=8))

    right = sum(answer["label"] == row["label"] for answer, row in zip(answers, rows, strict=True))
    assert trained.outcome["metrics"]["test"]["accuracy"] == pytest.approx(right / len(rows))
    assert right / len(rows) > 0.9, "a toy task that was not learned shows nothing"
    objects = open_storage(str(tmp_path / "storage"))
    worst = mistakes.read(objects, trained.run, "test")
    assert worst is not None
    assert sorted(each.index for each in worst.mistakes) == list(range(len(rows)))
    assert sum(not each.is_wrong for each in worst.mistakes) == right
    assert {each.index: (each.text, each.label) for each in worst.mistakes} == {
        index: (row["text"], row["label"]) for index, row in enumerate(rows)
    }
    chosen = mistakes.read(objects, trained.run, "validation")
    assert chosen is not None
    assert chosen.step == trained.outcome["best_step"]
    (spent,) = times.read_all(objects, trained.run)
    assert set(spent.seconds) == {"steps", "data", "checkpoint", "evaluation"}
    assert spent.step == spent.saved[-1].step == len(trained.losses)


def test_metrics_are_the_same_for_any_number_of_workers(
    run: Callable[..., Trained], encoder: Path, reviews: Path
) -> None:
    sections = {"train": {"max_steps": 1, "learning_rate": 1e-9, "baselines": True}}

    one, three = run(1, encoder, reviews, **sections), run(3, encoder, reviews, **sections)

    assert _numbers(three) == pytest.approx(_numbers(one), rel=1e-6)
    assert three.outcome["metrics"]["majority"]["accuracy"] == pytest.approx(0.5, abs=0.1)


def test_the_newest_and_the_best_checkpoint_stay(
    run: Callable[..., Trained], encoder: Path, reviews: Path, tmp_path: Path
) -> None:
    trained = run(
        2,
        encoder,
        reviews,
        train={"max_steps": 8, "learning_rate": 1e-3},
        checkpoint={"every_steps": 2, "keep": 1, "best_by": {"metric": "loss", "mode": "max"}},
    )

    objects = open_storage(str(tmp_path / "storage"))
    kept = checkpoints.list_manifests(objects, trained.run)
    assert [manifest.step for manifest in kept] == [2, 8], "the loss falls: by its maximum the first is best"
    assert trained.outcome["best_step"] == 2
    assert checkpoints.verify(objects, trained.run, kept[-1].id) == []


def test_a_new_best_is_saved_between_checkpoints(
    run: Callable[..., Trained], encoder: Path, reviews: Path, tmp_path: Path
) -> None:
    trained = run(
        1,
        encoder,
        reviews,
        train={"max_steps": 6, "evaluate_every_steps": 2},
        checkpoint={"every_steps": 6, "best_by": {"metric": "loss", "mode": "min"}, "keep": 5},
    )

    manifests = checkpoints.list_manifests(open_storage(str(tmp_path / "storage")), trained.run)
    assert [manifest.step for manifest in manifests] == [2, 4, 6]


def test_early_stopping(run: Callable[..., Trained], encoder: Path, reviews: Path, tmp_path: Path) -> None:
    trained = run(
        2,
        encoder,
        reviews,
        train={
            "epochs": 9,
            "evaluate_every_steps": 1,
            "early_stopping": {"metric": "loss", "mode": "max", "patience": 2},
        },
    )

    kinds = [event.kind for event in events.read_events(open_storage(str(tmp_path / "storage")), trained.run)]
    assert trained.outcome["step"] == 3
    assert "stopped-early" in kinds


@pytest.mark.parametrize("stage", [1, 3])
def test_bf16_learns(run: Callable[..., Trained], encoder: Path, reviews: Path, stage: int) -> None:
    trained = run(
        2,
        encoder,
        reviews,
        train={"epochs": 6, "precision": "bf16", "learning_rate": 5e-3},
        scale={"zero": {"stage": stage}},
    )

    assert trained.losses[-1] < 0.5 * trained.losses[0]


def test_packed_losses_equal_padded_ones(run: Callable[..., Trained], decoder: Path, reviews: Path) -> None:
    sections: dict[str, Any] = {"task": {"type": "causal-lm"}, "train": {"micro_batch_size": 4, "learning_rate": 5e-3}}

    padded = run(2, decoder, reviews, data={"batching": {"type": "plain"}}, **sections)
    packed = run(2, decoder, reviews, data={"batching": {"type": "packed"}, "max_length": 64}, **sections)

    assert packed.losses == pytest.approx(padded.losses, rel=1e-4)
    assert packed.losses[-1] < 0.95 * packed.losses[0]


def test_automatic_micro_batch_leaves_the_losses_alone(
    run: Callable[..., Trained], encoder: Path, reviews: Path, tmp_path: Path
) -> None:
    measured = run(2, encoder, reviews, train={"micro_batch_size": "auto"}, scale={"zero": {"stage": 2}})
    given = run(2, encoder, reviews, train={"micro_batch_size": 4}, scale={"zero": {"stage": 2}})

    started = [
        event.fields["micro_batch_size"]
        for event in events.read_events(open_storage(str(tmp_path / "storage")), measured.run)
        if event.kind == "started"
    ]
    assert started == [4]
    assert measured.losses == pytest.approx(given.losses, rel=1e-6)


def _with_a_crowded_machine(group: Group, job: dict[str, Any]) -> tuple[str, str]:
    """The second worker shares its machine with so many that nothing is left for it."""
    return run_into_error(group if group.is_first else replace(group, num_local=10**12), job)


def test_one_worker_without_memory_ends_all(
    gloo_workers: Workers, encoder: Path, reviews: Path, tmp_path: Path
) -> None:
    """The other has enough, and must not wait for it."""
    wanted = document(
        encoder, reviews, train={"micro_batch_size": "auto"}, scale={"num_workers": 2, "zero": {"stage": 2}}
    )
    job = GlooRun(tmp_path / "storage", tmp_path / "cache").job_fields(wanted)

    told, told_too = gloo_workers(2).run(_with_a_crowded_machine, job)

    assert told == told_too
    assert told[0] == "OutOfMemory"
    assert "a worker has 0.0 GiB free: lower data.max_length" in told[1]


def _numbers(trained: Trained) -> dict[str, float]:
    metrics = trained.outcome["metrics"]["validation"]
    return {name: value for name, value in metrics.items() if isinstance(value, int | float)}


def test_nothing_stays_in_shared_memory(run: Callable[..., Trained], encoder: Path, reviews: Path) -> None:
    """DeepSpeed's own op would leave 64 MB a worker."""
    before = set(Path("/dev/shm").glob("deepspeed*"))

    run(2, encoder, reviews, train={"max_steps": 1})

    assert set(Path("/dev/shm").glob("deepspeed*127.0.0.1*")) <= before


def _placed(rows: list[dict[str, Any]]) -> list[SourceRow]:
    return [SourceRow(row, f"row {number}") for number, row in enumerate(rows, start=1)]


def _alike(group: Group, documents: list[str], cache: str) -> str:
    """What a worker is told whose data is that of `documents[rank]`."""
    spec = FineTune.model_validate_json(documents[group.rank]).spec
    try:
        inputs.check_alike(inputs.load(spec, cache_dir=Path(cache)).data, group)
    except DataError as error:
        return str(error)
    return ""


def test_workers_that_prepared_other_samples_are_told(
    gloo_workers: Workers, encoder: Path, reviews: Path, tmp_path: Path
) -> None:
    write_reviews(tmp_path / "other.jsonl", num_rows=80)
    same, other = (document(encoder, data).model_dump_json() for data in (reviews, tmp_path / "other.jsonl"))
    cache = str(tmp_path / "cache")

    assert gloo_workers(2).run(_alike, [same, same], cache) == ["", ""]
    for told in gloo_workers(2).run(_alike, [same, other], cache):
        assert "worker 1 (node this one) has prepared other samples than worker 0" in told
