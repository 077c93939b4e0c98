"""Damaged checkpoints, a storage that goes away, a run that is taken over, a request to stop: what a run does then."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from eagleray.flow.reshape import reshape
from eagleray.spec.finetune import FineTune
from eagleray.store import checkpoints, events, lease, ledger, paths, quarantine, stops
from eagleray.store.renewal import renewed
from eagleray.store.runs import ForkRecord
from tests.support import tiny_models
from tests.support.gloo import GlooWorkers
from tests.support.training import GlooRun, Trained, document, write_reviews

Workers = Callable[[int], GlooWorkers]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_models.save_encoder(tmp_path_factory.mktemp("encoder"), dropout=0.1)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "reviews.jsonl"
    write_reviews(path, num_rows=70)  # 56 to train on: seven steps of 8 an epoch
    return path


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def wanted(model: Path, data: Path) -> FineTune:
    return _document(model, data)


@pytest.fixture(scope="module")
def undisturbed(
    gloo_workers: Workers, wanted: FineTune, cache: Path, tmp_path_factory: pytest.TempPathFactory
) -> Trained:
    return GlooRun(tmp_path_factory.mktemp("undisturbed"), cache).attempt(gloo_workers(2), wanted)


@pytest.fixture
def run(tmp_path: Path, cache: Path) -> GlooRun:
    return GlooRun(tmp_path / "storage", cache)


def _document(model: Path, data: Path, **sections: dict[str, Any]) -> FineTune:
    defaults: dict[str, dict[str, Any]] = {
        "train": {"epochs": 2, "micro_batch_size": 2},
        "scale": {"num_workers": 2, "zero": {"stage": 2}},
        "checkpoint": {"every_steps": 3},
    }
    merged = {name: {**defaults.get(name, {}), **sections.get(name, {})} for name in {*defaults, *sections}}
    return document(model, data, **merged)


def _flip_a_byte(folder: Path) -> str:
    shard = folder / "state" / "00001.safetensors"
    content = bytearray(shard.read_bytes())
    content[-5] ^= 1
    shard.write_bytes(content)
    return "state/00001.safetensors"


def _lose_a_shard(folder: Path) -> str:
    (folder / "state" / "00000.safetensors").unlink()
    return "state/00000.safetensors"


def _cut_a_shard(folder: Path) -> str:
    shard = folder / "state" / "00000.safetensors"
    shard.write_bytes(shard.read_bytes()[:-100])
    return "state/00000.safetensors"


@pytest.mark.parametrize("damage", [_flip_a_byte, _lose_a_shard, _cut_a_shard])
def test_a_damaged_checkpoint_is_passed_over(
    gloo_workers: Workers,
    run: GlooRun,
    wanted: FineTune,
    undisturbed: Trained,
    tmp_path: Path,
    damage: Callable[[Path], str],
) -> None:
    run.fail(gloo_workers(2), wanted, in_step=8)
    newest = checkpoints.newest(run.objects, run.run)
    assert newest is not None
    assert newest.step == 6
    damaged = damage(tmp_path / "storage" / "runs" / run.run / "checkpoints" / str(newest.id))

    trained = run.attempt(gloo_workers(2), wanted)

    assert trained.losses == undisturbed.losses
    (told,) = [event.fields for event in _events(run) if event.kind == "checkpoint-damaged"]
    assert told["step"] == 6
    assert damaged in told["reason"]
    assert [event.fields["step"] for event in _events(run) if event.kind == "restored"] == [3]
    assert _is_ledger_exact(run)


def test_an_empty_manifest_is_no_checkpoint(
    gloo_workers: Workers, run: GlooRun, wanted: FineTune, undisturbed: Trained, tmp_path: Path
) -> None:
    run.fail(gloo_workers(2), wanted, in_step=8)
    newest = checkpoints.newest(run.objects, run.run)
    assert newest is not None
    (tmp_path / "storage" / "runs" / run.run / "checkpoints" / str(newest.id) / "manifest.json").write_bytes(b"")

    trained = run.attempt(gloo_workers(2), wanted)

    assert trained.losses == undisturbed.losses
    assert [event.fields["step"] for event in _events(run) if event.kind == "restored"] == [3]


def test_a_manifest_of_a_newer_version_stops_the_run(
    gloo_workers: Workers, run: GlooRun, wanted: FineTune, tmp_path: Path
) -> None:
    run.fail(gloo_workers(2), wanted, in_step=8)
    newest = checkpoints.newest(run.objects, run.run)
    assert newest is not None
    manifest = tmp_path / "storage" / "runs" / run.run / "checkpoints" / str(newest.id) / "manifest.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"format": 9}))

    kind, message = run.error(gloo_workers(2), wanted)

    assert kind == "StorageError"
    assert "upgrade eagleray" in message


def test_a_damaged_best_checkpoint_is_not_published(
    gloo_workers: Workers, run: GlooRun, model: Path, data: Path, tmp_path: Path
) -> None:
    """The next best one is, with its own metrics; the ranks agree."""
    test = tmp_path / "test.jsonl"
    write_reviews(test, num_rows=20)
    wanted = document(
        model,
        data,
        data={"test": str(test)},
        train={"epochs": 2, "micro_batch_size": 2},
        scale={"num_workers": 2},
        checkpoint={"every_steps": 3, "keep": 5, "best_by": {"metric": "loss", "mode": "min"}},
    )
    finished = run.attempt(gloo_workers(2), wanted)
    best_step = finished.outcome["best_step"]
    damaged = paths.checkpoint(run.run, best_step, 1) + "/model.safetensors"
    file = tmp_path / "storage" / damaged
    content = bytearray(file.read_bytes())
    content[-5] ^= 1
    file.write_bytes(content)

    again = run.attempt(gloo_workers(2), wanted)

    others = {
        each.step: each.metrics["loss"]
        for each in checkpoints.list_manifests(run.objects, run.run)
        if each.step != best_step
    }
    second = min(others, key=lambda step: others[step])
    assert again.outcome["best_step"] == second
    assert again.outcome["metrics"]["validation"]["loss"] == others[second]
    assert again.outcome["metrics"]["test"]
    (told,) = [event.fields for event in _events(run) if event.kind == "checkpoint-damaged"]
    assert told["step"] == best_step
    assert damaged in told["reason"]
    published = (tmp_path / "storage" / paths.model(run.run) / "model.safetensors").read_bytes()
    assert published == (tmp_path / "storage" / paths.checkpoint(run.run, second, 1) / "model.safetensors").read_bytes()


def test_a_storage_that_goes_away_for_a_while_is_waited_for(
    gloo_workers: Workers, run: GlooRun, model: Path, data: Path, tmp_path: Path, cache: Path
) -> None:
    """Training goes on meanwhile: as many steps as take longer than the storage is away."""
    longer = _document(model, data, train={"epochs": 60}, checkpoint={"every_steps": 20})
    expected = GlooRun(tmp_path / "undisturbed", cache).attempt(gloo_workers(2), longer)
    storage, away = tmp_path / "storage", tmp_path / "away"

    def take_away_and_bring_back() -> None:
        while checkpoints.newest(run.objects, run.run) is None:
            time.sleep(0.02)
        storage.rename(away)
        time.sleep(6.0)
        away.rename(storage)

    thread = threading.Thread(target=take_away_and_bring_back)
    thread.start()
    trained = run.attempt(gloo_workers(2), longer)
    thread.join()

    assert trained.losses == expected.losses
    assert _is_ledger_exact(run)


def test_a_run_that_was_taken_over_commits_nothing_more(
    gloo_workers: Workers, run: GlooRun, model: Path, data: Path
) -> None:
    endless = _document(model, data, train={"epochs": 1000}, checkpoint={"every_steps": 10})
    committed: list[str] = []

    def take_over() -> None:
        while checkpoints.newest(run.objects, run.run) is None:
            time.sleep(0.02)
        assert run.lease is not None
        lease.succeed(run.objects, run.run, run.lease, now=lambda: datetime.now(UTC))
        committed.extend(str(manifest.id) for manifest in checkpoints.list_manifests(run.objects, run.run))

    thread = threading.Thread(target=take_over)
    thread.start()
    answers = gloo_workers(2).run(_error_of_any, run.job_fields(endless))
    thread.join()

    assert any("lease" in answer for answer in answers), answers
    after = [str(manifest.id) for manifest in checkpoints.list_manifests(run.objects, run.run)]
    assert set(after) <= set(committed)


def test_a_stop_is_saved_just_in_time(
    gloo_workers: Workers, run: GlooRun, model: Path, data: Path, tmp_path: Path, cache: Path
) -> None:
    longer = _document(model, data, train={"epochs": 20}, checkpoint={"every_steps": 1000})
    expected = GlooRun(tmp_path / "undisturbed", cache).attempt(gloo_workers(2), longer)
    stops.request(run.objects, run.run, 1, reason="preemption", now=datetime.now(UTC))

    stopped = run.attempt(gloo_workers(2), longer)
    trained = run.attempt(gloo_workers(2), longer)

    assert stopped.outcome["stop_reason"] == "preemption"
    assert 0 < stopped.outcome["step"] < 140
    (restored,) = [event.fields for event in _events(run) if event.kind == "restored"]
    assert restored["step"] == stopped.outcome["step"], "no step is lost"
    assert trained.losses == expected.losses
    assert trained.outcome["metrics"] == expected.outcome["metrics"]
    assert _is_ledger_exact(run)


def test_patience_is_not_forgotten(
    gloo_workers: Workers, run: GlooRun, model: Path, data: Path, tmp_path: Path, cache: Path
) -> None:
    impatient = _document(
        model,
        data,
        train={"epochs": 4, "early_stopping": {"metric": "loss", "mode": "min", "patience": 4, "min_delta": 100.0}},
    )
    expected = GlooRun(tmp_path / "undisturbed", cache).attempt(gloo_workers(2), impatient)
    run.fail(gloo_workers(2), impatient, in_step=11)

    trained = run.attempt(gloo_workers(2), impatient)

    assert expected.outcome["step"] == 15, "the first evaluation is the best, four more follow"
    assert trained.outcome == expected.outcome


def test_a_loss_that_is_not_finite_ends_the_run_and_is_not_saved(
    gloo_workers: Workers, run: GlooRun, model: Path, data: Path
) -> None:
    bursting = _document(
        model,
        data,
        train={"learning_rate": 1e30, "schedule": {"type": "constant"}, "gradient_clip": None},
        checkpoint={"every_steps": 1},
    )

    kind, message = run.error(gloo_workers(2), bursting)

    assert kind == "NotFinite"
    assert "3 steps" in message
    assert all(manifest.step < 4 for manifest in checkpoints.list_manifests(run.objects, run.run))


@pytest.mark.parametrize("num_workers", [1, 3])
def test_a_reshaped_checkpoint_goes_on(
    gloo_workers: Workers,
    run: GlooRun,
    model: Path,
    data: Path,
    cache: Path,
    tmp_path: Path,
    num_workers: int,
) -> None:
    steady = tiny_models.save_encoder(tmp_path / "steady", dropout=0.0)
    expected = GlooRun(tmp_path / "undisturbed", cache).attempt(gloo_workers(2), _document(steady, data))
    run.fail(gloo_workers(2), _document(steady, data), in_step=8)
    newest = checkpoints.newest(run.objects, run.run)
    assert newest is not None
    assert run.lease is not None
    with renewed(run.objects, run.run, run.lease, on_trouble=print):
        pass  # released: its holder is this process, which lives

    reshaped = reshape(run.objects, newest, num_workers=num_workers)
    run.lease = None
    trained = run.attempt(gloo_workers(num_workers), _document(steady, data, scale={"num_workers": num_workers}))

    assert len([entry for entry in reshaped.files if entry.path.startswith("state/")]) == num_workers
    assert [event.fields["step"] for event in _events(run) if event.kind == "restored"] == [6]
    assert trained.losses == pytest.approx(expected.losses, rel=1e-5)
    assert _is_ledger_exact(run)


@pytest.mark.parametrize("keeps_position", [True, False])
def test_a_fork_begins_with_the_checkpoint(
    gloo_workers: Workers, run: GlooRun, wanted: FineTune, undisturbed: Trained, cache: Path, keeps_position: bool
) -> None:
    run.fail(gloo_workers(2), wanted, in_step=8)
    fork = GlooRun(Path(run.objects.uri), cache)
    fork.fork = ForkRecord(run=run.run, step=6, keeps_position=keeps_position)

    trained = fork.attempt(gloo_workers(2), wanted)

    if keeps_position:
        assert [row["step"] for row in trained.steps if "loss" in row] == list(range(7, 15))
        assert trained.losses == undisturbed.losses[6:]
    else:
        assert [row["step"] for row in trained.steps if "loss" in row] == list(range(1, 15))
        assert trained.losses[0] != undisturbed.losses[0], "other weights to begin with"
    assert _is_ledger_exact(fork)


def _error_of_any(group: Any, job: dict[str, Any]) -> str:
    """In a worker process: what ends an attempt, which may be a lost peer at one and its cause at the other."""
    from eagleray.train import session
    from eagleray.train.assembly import Job

    try:
        session.run(Job(**job), group)
    except Exception as error:
        return str(error)
    return "it ended well"


def _events(run: GlooRun) -> list[events.Event]:
    return events.read_events(run.objects, run.run)


def _is_ledger_exact(run: GlooRun) -> bool:
    manifest = checkpoints.newest(run.objects, run.run)
    assert manifest is not None
    return ledger.examine(run.objects, run.run, manifest.id).is_exact


def _tear_a_sample(cache: Path) -> None:
    """Damage the tokens of one training sample on the disk: it claims more tokens than a row holds."""
    (path,) = cache.rglob("train.tokens.arrow")
    with pa.memory_map(str(path)) as file:
        offsets = pa.ipc.open_file(file).get_batch(0).column("input_ids").offsets.to_numpy().copy()
    least = offsets[10] + 65 + 2 * np.arange(len(offsets) - 11)  # two tokens for each sample after it
    torn = np.concatenate([offsets[:11], np.maximum(offsets[11:], least)]).astype(offsets.dtype)
    content = path.read_bytes()
    assert content.count(offsets.tobytes()) >= 1
    path.write_bytes(content.replace(offsets.tobytes(), torn.tobytes()))  # of all columns: they stay alike


@pytest.mark.parametrize("skips", [True, False])
def test_a_torn_sample(gloo_workers: Workers, data: Path, tmp_path: Path, skips: bool) -> None:
    run = GlooRun(tmp_path / "storage", tmp_path / "cache")
    wanted = document(
        tiny_models.save_decoder(tmp_path / "decoder"),
        data,
        task={"type": "causal-lm"},
        data={"batching": {"type": "packed"}, "max_length": 64},
        train={"micro_batch_size": 2},
        scale={"num_workers": 2},
        failures={"skip_bad_samples": skips},
    )
    run.fail(gloo_workers(2), wanted, in_step=1)
    _tear_a_sample(tmp_path / "cache")

    if not skips:
        answers = gloo_workers(2).run(_error_of_any, run.job_fields(wanted))
        assert any("failures.skip_bad_samples: true" in answer and "reviews.jsonl:" in answer for answer in answers)
        return
    trained = run.attempt(gloo_workers(2), wanted)

    bad = quarantine.read(run.objects, run.run)
    assert 10 in {sample.index for sample in bad}
    assert all(sample.place.startswith("reviews.jsonl:") for sample in bad)
    assert len(trained.losses) == 7
    assert _is_ledger_exact(run)
    assert [event.fields["num_samples"] for event in _events(run) if event.kind == "quarantined"] == [len(bad)]
