"""What `eagleray train FILE` does about an earlier run of the same name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest

from eagleray.errors import UserError
from eagleray.model.description import FILE, BaseModelRecord, Description
from eagleray.spec import document
from eagleray.store import paths, runs
from eagleray.store.checkpoints import CheckpointId
from eagleray.store.objects import Objects, open_storage
from eagleray.store.runs import ForkRecord, RunRecord
from eagleray.train import changes, resumption
from eagleray.train.changes import Basis, Change
from eagleray.train.resumption import Earlier, Fork, GoOn, New, decide
from tests.support import bases, records

CHECKPOINT = CheckpointId(step=40, lease=2)
Phase = Literal["pending", "running", "succeeded", "failed", "stopped"]


def _run(phase: Phase = "stopped", *, step: int = 50) -> RunRecord:
    return RunRecord(run="films-0001", name="films", phase=phase, started_at=records.NOW, step=step, total_steps=100)


def _earlier(phase: Phase = "stopped", *, checkpoint: CheckpointId | None = CHECKPOINT, step: int = 50) -> Earlier:
    return Earlier(_run(phase, step=step), bases.basis(), checkpoint)


RATE = "train.learning_rate=0.0001"
RATE_CHANGED = Change("train.learning_rate", 5e-5, 1e-4, "course")
KEEP_CHANGED = Change("checkpoint.keep", 2, 5, "nothing")


@pytest.mark.parametrize(
    ("earlier", "overrides", "expected"),
    [
        pytest.param(None, [], New(), id="first"),
        pytest.param(_earlier("succeeded"), [], New(), id="succeeded"),
        pytest.param(_earlier("succeeded"), [RATE], New(), id="succeeded-and-changed"),
        pytest.param(_earlier("pending", checkpoint=None), [], GoOn(_run("pending"), ()), id="pending"),
        pytest.param(_earlier("running"), [], GoOn(_run("running"), ()), id="running"),
        pytest.param(_earlier("stopped"), [], GoOn(_run("stopped"), ()), id="stopped"),
        pytest.param(_earlier("failed"), [], GoOn(_run("failed"), ()), id="failed"),
        pytest.param(
            _earlier(), ["checkpoint.keep=5"], GoOn(_run(), (KEEP_CHANGED,)), id="changed-in-what-does-not-matter"
        ),
        pytest.param(_earlier(checkpoint=None), [RATE], New(), id="changed-and-nothing-is-lost"),
    ],
)
def test_decides(earlier: Earlier | None, overrides: list[str], expected: New | GoOn) -> None:
    assert decide(earlier, bases.basis(*overrides)) == expected


@pytest.mark.parametrize("phase", ["running", "succeeded"])
def test_a_new_run_where_it_is_wanted(phase: Phase) -> None:
    assert decide(_earlier(phase), bases.basis(RATE), wants_new=True) == New()


def test_refuses_to_go_on_with_a_document_that_changes_the_result() -> None:
    with pytest.raises(UserError) as raised:
        decide(_earlier(), bases.basis(RATE, "checkpoint.keep=5", "train.optimizer.type=sgd"))

    assert str(raised.value).splitlines() == [
        "run films-0001 (stopped) is not finished, and going on with this document would change its result:",
        "  train.learning_rate: 5e-05 there, 0.0001 here",
        '  train.optimizer.type: "adamw" there, "sgd" here',
        "Put these back to go on with it; --fork begins a new run from its checkpoint of step 40, "
        "--new one from the start",
    ]


def test_names_no_fork_where_the_weights_would_not_fit() -> None:
    with pytest.raises(UserError) as raised:
        decide(_earlier(), bases.basis("method.type=lora"))

    assert str(raised.value).splitlines()[1:] == [
        '  method.type: "full" there, "lora" here',
        "Put these back to go on with it; --new begins a new run from the start",
    ]


@pytest.mark.parametrize(
    ("earlier", "overrides", "keeps_position"),
    [
        pytest.param(_earlier(), [], True, id="as-it-is"),
        pytest.param(_earlier(), [RATE], True, id="learning-rate"),
        pytest.param(_earlier(), ["scale.num_workers=2"], True, id="workers"),
        pytest.param(_earlier("succeeded", step=100), ["train.epochs=9"], True, id="more-epochs"),
        pytest.param(
            _earlier("succeeded", step=80),
            ["train.early_stopping={metric: loss, mode: min}"],
            True,
            id="early-stopping",
        ),
        pytest.param(_earlier(), ["train.seed=1"], False, id="seed"),
        pytest.param(_earlier(), ["train.global_batch_size=64"], False, id="batch-size"),
        pytest.param(_earlier(), ["data.batching={type: plain}"], False, id="batching"),
        pytest.param(_earlier(), ["task.text=body"], False, id="column"),
        pytest.param(_earlier("succeeded", step=100), ["train.seed=1"], False, id="succeeded-and-once-more"),
    ],
)
def test_forks(earlier: Earlier, overrides: list[str], keeps_position: bool) -> None:
    wanted = bases.basis(*overrides)

    assert decide(earlier, wanted, wants_fork=True) == Fork(
        earlier.run, CHECKPOINT, changes.changes(earlier.basis.document, wanted.document), keeps_position
    )


@pytest.mark.parametrize(
    ("earlier", "overrides", "message"),
    [
        pytest.param(
            None,
            [],
            "--fork: there is no run of films on this storage: leave it out, and one begins",
            id="nothing-to-fork-from",
        ),
        pytest.param(
            _earlier(checkpoint=None),
            [RATE],
            "--fork: run films-0001 has no checkpoint to begin from: --new begins from the start",
            id="no-checkpoint",
        ),
        pytest.param(
            _earlier(),
            [RATE, "method.type=lora"],
            "--fork: the weights of run films-0001 do not fit this document:\n"
            '  method.type: "full" there, "lora" here\n'
            "Put these back, or begin from the start with --new",
            id="other-weights",
        ),
        pytest.param(
            _earlier("succeeded", step=100),
            [RATE],
            "--fork: run films-0001 has come to its end with step 100, and this document has no step after it: "
            "give more train.epochs, or begin from the start with --new",
            id="no-step-is-left",
        ),
        pytest.param(
            _earlier("succeeded", step=80),
            ["scale.num_workers=2"],
            "--fork: run films-0001 has come to its end with step 80, and this document has no step after it: "
            "give more train.epochs, or begin from the start with --new",
            id="would-stop-early-again",
        ),
    ],
)
def test_refuses_to_fork(earlier: Earlier | None, overrides: list[str], message: str) -> None:
    with pytest.raises(UserError) as raised:
        decide(earlier, bases.basis(*overrides), wants_fork=True)

    assert str(raised.value) == message


@pytest.mark.parametrize(
    ("earlier", "overrides", "expected"),
    [
        pytest.param(None, [RATE], False, id="first"),
        pytest.param(_earlier("succeeded"), [RATE], False, id="succeeded"),
        pytest.param(_earlier(checkpoint=None), [RATE], False, id="nothing-is-lost"),
        pytest.param(_earlier(), ["checkpoint.keep=5"], False, id="goes-on"),
        pytest.param(_earlier(), [RATE], True, id="cannot-go-on"),
    ],
)
def test_needs_a_fork(earlier: Earlier | None, overrides: list[str], expected: bool) -> None:
    assert resumption.needs_fork(earlier, bases.basis(*overrides)) is expected


@pytest.fixture
def storage() -> Objects:
    return open_storage("memory://")


def test_finds_nothing_where_no_run_has_the_name(storage: Objects) -> None:
    records.new_run(storage, "demo-2")

    assert resumption.find(storage, "demo", kind="FineTune") is None


def test_finds_the_newest_run_of_the_name(storage: Objects) -> None:
    records.new_run(storage, "demo", phase="succeeded")
    newest = records.new_run(storage, "demo", minutes=5, phase="stopped")
    records.new_run(storage, "other", minutes=9)

    earlier = resumption.find(storage, "demo", kind="FineTune")

    text = document.loads(records.DOCUMENT, source="a.yaml").document
    assert earlier == Earlier(newest, Basis(text, records.LOCK.data_fingerprint, ""), None)


def test_finds_the_newest_checkpoint_and_its_labels(storage: Objects, tmp_path: Path) -> None:
    run = records.new_run(storage, "demo", phase="stopped").run
    described = Description(
        task={},
        labels=bases.LABELS,
        max_length=64,
        method={},
        base=BaseModelRecord(source="a/b", revision="main", sha256=""),
    )
    files = {FILE: described.model_dump_json().encode()}
    records.new_checkpoint(storage, run, step=10, scratch=tmp_path)
    records.new_checkpoint(storage, run, step=20, lease=3, scratch=tmp_path, files=files)

    earlier = resumption.find(storage, "demo", kind="FineTune")

    assert earlier is not None
    assert earlier.checkpoint == CheckpointId(step=20, lease=3)
    assert earlier.basis.labels == bases.LABELS


@pytest.mark.parametrize("files", [None, {FILE: b"{"}], ids=["missing", "damaged"])
def test_labels_that_cannot_be_read_are_not_known(
    storage: Objects, tmp_path: Path, files: dict[str, bytes] | None
) -> None:
    run = records.new_run(storage, "demo", phase="stopped").run
    records.new_checkpoint(storage, run, step=10, scratch=tmp_path, files=files)

    earlier = resumption.find(storage, "demo", kind="FineTune")

    assert earlier is not None
    assert earlier.basis.labels == ()


def test_a_document_of_another_version_is_told(storage: Objects) -> None:
    run = records.new_run(storage, "demo", phase="stopped").run
    storage.put(paths.document(run), records.DOCUMENT.replace("spec:", "spec:\n  sharding: {}").encode())

    with pytest.raises(UserError) as raised:
        resumption.find(storage, "demo", kind="FineTune")

    assert f"run {run} cannot be gone on with" in str(raised.value)
    assert "spec.sharding: unknown key" in str(raised.value)
    assert "--new" in str(raised.value)


def test_what_a_run_was_given_is_what_it_is_compared_with(storage: Objects) -> None:
    given = bases.document("train.learning_rate=3e-5", "data.keep={b: [y], a: [x]}", "train.gradient_clip=null")
    lock = records.LOCK.model_copy(update={"data_fingerprint": "f" * 64, "model_sha256": "a" * 64})
    runs.create(storage, name="films", document=document.dump(given), lock=lock, now=records.NOW)
    earlier = resumption.find(storage, "films", kind="FineTune")

    assert earlier is not None
    assert decide(earlier, replace(bases.basis(), document=given)) == GoOn(earlier.run, ())


@pytest.mark.parametrize(
    ("phase", "is_forked", "may_be_forked", "is_found"),
    [
        pytest.param("succeeded", False, False, True, id="finished"),
        pytest.param("stopped", False, False, False, id="stopped"),
        pytest.param("succeeded", True, False, False, id="forked"),
        pytest.param("succeeded", True, True, True, id="forked-and-asked-to-fork"),
        pytest.param("failed", True, True, False, id="forked-and-failed"),
    ],
)
def test_what_need_not_be_made_again(
    storage: Objects, phase: Phase, is_forked: bool, may_be_forked: bool, is_found: bool
) -> None:
    origin = ForkRecord(run="demo-0001", step=40, keeps_position=True) if is_forked else None
    run = records.new_run(storage, "demo", phase=phase, forked_from=origin)
    wanted = Basis(document.loads(records.DOCUMENT, source="a.yaml").document, records.LOCK.data_fingerprint, "")

    found = resumption.finished(storage, wanted, kind="FineTune", may_be_forked=may_be_forked)

    assert found == (run if is_found else None)
