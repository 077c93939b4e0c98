"""What `eagleray train FILE` does about an earlier run of the same name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest

from eagleray.errors import UserError
from eagleray.model.description import FILE, BaseModelRecord, Description
from eagleray.spec import document, shape
from eagleray.spec.finetune import FineTune, FineTuneSpec
from eagleray.store import paths, runs
from eagleray.store.checkpoints import CheckpointId
from eagleray.store.objects import Objects, open_storage
from eagleray.store.runs import ForkRecord, RunRecord
from eagleray.train import resumption
from eagleray.train.resumption import EFFECTS, Basis, Change, Earlier, Effect, Fork, GoOn, New, decide, effect
from tests.support import documents, records

CHECKPOINT = CheckpointId(step=40, lease=2)
LABELS = ("fresh", "rotten")
Phase = Literal["pending", "running", "succeeded", "failed", "stopped"]


def _document(*overrides: str, **sections: str) -> FineTune:
    return document.loads(documents.text(**sections), source="a.yaml", overrides=overrides).document


def _basis(*overrides: str, **facts: Any) -> Basis:
    basis = Basis(_document(*overrides), data_fingerprint="f" * 64, model_sha256="a" * 64, labels=LABELS)
    return replace(basis, **facts)


def _run(phase: Phase = "stopped", *, step: int = 50) -> RunRecord:
    return RunRecord(run="films-0001", name="films", phase=phase, started_at=records.NOW, step=step, total_steps=100)


def _earlier(phase: Phase = "stopped", *, checkpoint: CheckpointId | None = CHECKPOINT, step: int = 50) -> Earlier:
    return Earlier(_run(phase, step=step), _basis(), checkpoint)


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
    assert decide(earlier, _basis(*overrides)) == expected


@pytest.mark.parametrize("phase", ["running", "succeeded"])
def test_a_new_run_where_it_is_wanted(phase: Phase) -> None:
    assert decide(_earlier(phase), _basis(RATE), wants_new=True) == New()


def test_refuses_to_go_on_with_a_document_that_changes_the_result() -> None:
    with pytest.raises(UserError) as raised:
        decide(_earlier(), _basis(RATE, "checkpoint.keep=5", "train.optimizer.type=sgd"))

    assert str(raised.value).splitlines() == [
        "run films-0001 (stopped) is not finished, and going on with this document would change its result:",
        "  train.learning_rate: 5e-05 there, 0.0001 here",
        '  train.optimizer.type: "adamw" there, "sgd" here',
        "Put these back to go on with it; --fork begins a new run from its checkpoint of step 40, "
        "--new one from the start",
    ]


def test_names_no_fork_where_the_weights_would_not_fit() -> None:
    with pytest.raises(UserError) as raised:
        decide(_earlier(), _basis("method.type=lora"))

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
    wanted = _basis(*overrides)

    assert decide(earlier, wanted, wants_fork=True) == Fork(
        earlier.run, CHECKPOINT, resumption.changes(earlier.basis.document, wanted.document), keeps_position
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
        decide(earlier, _basis(*overrides), wants_fork=True)

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
    assert resumption.needs_fork(earlier, _basis(*overrides)) is expected


def test_fork_and_new_exclude_each_other() -> None:
    with pytest.raises(UserError, match="--fork and --new exclude each other"):
        decide(None, _basis(), wants_fork=True, wants_new=True)


@pytest.mark.parametrize(
    ("overrides", "facts", "expected"),
    [
        pytest.param([], {}, {}, id="nothing"),
        pytest.param(["data.train=other.jsonl"], {}, {"data.train": "nothing"}, id="same-rows-elsewhere"),
        pytest.param(["data.keep={a: [b]}"], {}, {"data.keep": "nothing"}, id="same-rows-are-kept"),
        pytest.param(
            ["data.train=other.jsonl"], {"data_fingerprint": "0" * 64}, {"data.train": "start"}, id="other-rows"
        ),
        pytest.param([], {"data_fingerprint": "0" * 64}, {"data (fingerprint)": "start"}, id="rows-were-edited"),
        pytest.param(
            ["train.seed=1"], {"data_fingerprint": "0" * 64}, {"train.seed": "start"}, id="seed-draws-other-rows"
        ),
        pytest.param(["data.max_length=64"], {}, {"data.max_length": "start"}, id="same-rows-cut-shorter"),
        pytest.param(["model.source=b/b"], {}, {"model.source": "nothing"}, id="same-model-elsewhere"),
        pytest.param(["model.source=b/b"], {"model_sha256": ""}, {"model.source": "weights"}, id="model-of-the-hub"),
        pytest.param([], {"model_sha256": "0" * 64}, {"model (sha256)": "weights"}, id="model-was-replaced"),
        pytest.param(["task.labels=[fresh, rotten]"], {}, {"task.labels": "nothing"}, id="same-labels-written-out"),
        pytest.param(
            ["task.labels=[rotten, fresh]"],
            {"labels": ("rotten", "fresh")},
            {"task.labels": "weights"},
            id="labels-in-another-order",
        ),
        pytest.param([], {"labels": ("bad", "good")}, {"task.labels": "weights"}, id="labels-of-other-rows"),
        pytest.param([], {"labels": ()}, {}, id="labels-not-known"),
    ],
)
def test_differences_look_behind_the_names(
    overrides: list[str], facts: dict[str, Any], expected: dict[str, Effect]
) -> None:
    differences = resumption.differences(_basis(), _basis(*overrides, **facts))

    assert {change.path: change.effect for change in differences} == expected


def test_hub_ids_of_two_models_are_two_models() -> None:
    (change,) = resumption.differences(_basis(model_sha256=""), _basis("model.source=b/b", model_sha256=""))

    assert change == Change("model.source", "owner/encoder", "b/b", "weights")


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        pytest.param(
            "train.schedule={type: cosine, final: 0.1}",
            ['train.schedule.type: "linear" there, "cosine" here'],
            id="type-and-what-it-brings",
        ),
        pytest.param("train.schedule.warmup=0.2", ["train.schedule.warmup: 0.1 there, 0.2 here"], id="nested"),
        pytest.param(
            "checkpoint.best_by={metric: loss, mode: min}",
            ['checkpoint.best_by: null there, {"metric": "loss", "mode": "min"} here'],
            id="section-that-was-left-out",
        ),
        pytest.param(
            "data.keep={'a.b': [c, d]}", ['data.keep: {} there, {"a.b": ["c", "d"]} here'], id="mapping-of-free-keys"
        ),
        pytest.param("train.gradient_clip=null", ["train.gradient_clip: 1.0 there, null here"], id="null"),
        pytest.param("metadata.name=reviews", [], id="name-is-not-of-the-spec"),
    ],
)
def test_changes_say_both_values(override: str, expected: list[str]) -> None:
    assert [str(change) for change in resumption.changes(_document(), _document(override))] == expected


NOTHING = """
    storage
    model.allow_pickle model.allow_remote_code
    task.max_new_tokens task.num_fillings
    task.preset task.num_beams task.length_penalty task.no_repeat_ngram task.generate_for task.bleu_tokenizer
    train.micro_batch_size train.gradient_checkpointing train.log_every_steps
    scale.num_workers scale.min_workers scale.cpus_per_worker scale.gpus_per_worker
    scale.zero.stage scale.zero.offload_optimizer scale.zero.offload_parameters
    checkpoint.keep
    failures.infrastructure.retries failures.infrastructure.backoff_s
    failures.preemption.retries failures.preemption.backoff_s
    failures.out_of_memory.retries failures.out_of_memory.backoff_s
    failures.hang.retries failures.hang.backoff_s
    failures.numerical.retries failures.numerical.backoff_s
    failures.data.retries failures.data.backoff_s
    failures.fault.retries failures.fault.backoff_s
    failures.skip_bad_samples failures.max_non_finite_steps failures.wait_for_workers_s
    watchdog.timeout_s
    self_training.unlabeled self_training.rounds self_training.threshold self_training.per_class self_training.balance
    self_training.labels
"""
COURSE = """
    method.dropout method.thaw method.cache_features
    train.epochs train.max_steps
    train.learning_rate train.weight_decay train.gradient_clip train.precision train.label_smoothing
    train.l1 train.l2 train.layer_decay train.r_drop train.mixup train.dropout train.attention_dropout
    train.averaging.type train.averaging.decay train.averaging.start train.averaging.every_steps
    train.schedule.rise train.schedule.metric train.schedule.mode train.schedule.patience train.schedule.min_delta
    train.schedule.factor
    train.loss.type train.loss.gamma train.loss.class_weights train.loss.weights
    train.optimizer.beta1 train.optimizer.beta2 train.optimizer.epsilon
    train.optimizer.decay train.optimizer.nesterov
    train.schedule.type train.schedule.warmup train.schedule.warmup_steps
    train.schedule.final train.schedule.cycles train.schedule.low train.schedule.power
    train.evaluate_every_steps train.baselines
    train.early_stopping.metric train.early_stopping.mode
    train.early_stopping.patience train.early_stopping.min_delta
    checkpoint.every_steps checkpoint.best_by.metric checkpoint.best_by.mode
"""
START = """
    task.text task.text_pair task.label task.label_separator
    task.format task.prompt task.completion task.messages
    task.image task.augment.crop task.augment.flip task.max_broken
    task.objective.type task.objective.beta task.objective.chosen task.objective.rejected
    task.system task.template
    task.long task.mask_share task.whole_words task.sentences task.negatives_seed
    task.words task.tags task.spans task.repair_tags task.subwords task.overlap
    task.question task.context task.answers task.unanswerable task.null_threshold
    task.max_answer_length task.max_question_length
    task.source task.target task.prefix task.pair task.pairs task.max_target_length
    task.probabilities task.mixing.type task.mixing.temperature task.mixing.weights method.start_from
    data.train data.validation.fraction data.validation.file data.test data.test_fraction data.keep
    data.language data.train_languages data.few_shot.per_class data.few_shot.draw
    data.clean.html data.clean.unicode data.clean.control data.clean.urls data.clean.url_token
    data.clean.mentions data.clean.mention_token data.clean.whitespace
    data.clean.languages data.clean.language_confidence data.clean.min_characters data.clean.max_characters
    data.clean.duplicates data.clean.similarity
    data.balance.type data.balance.by data.balance.share data.balance.temperature
    data.augment.steps data.augment.share data.augment.copies data.augment.language
    data.max_length data.batching.type data.batching.window_batches
    train.global_batch_size train.seed train.optimizer.type train.optimizer.momentum
    model.quantization.type model.quantization.double
"""
WEIGHTS = """
    model.source model.revision
    task.type task.problem task.labels task.tasks task.scheme task.with_masked_lm
    method.type method.rank method.alpha method.target_modules method.rank_stabilized method.decomposed
    method.bottom_layers method.patterns method.num_virtual_tokens
"""


def _keys(allowed: Any, path: str = "") -> Iterator[str]:
    """Every key that a document may have below `spec`."""
    models = shape.models(allowed)
    if not models:
        yield path
    for model in models.values():
        for name, field in model.model_fields.items():
            yield from _keys(field.annotation, f"{path}.{name}" if path else name)


def test_every_key_of_a_document_has_its_effect() -> None:
    """A new key stands here first: what does it do to a run that is half done?"""
    expected: dict[str, Effect] = {
        **dict.fromkeys(NOTHING.split(), "nothing"),
        **dict.fromkeys(COURSE.split(), "course"),
        **dict.fromkeys(START.split(), "start"),
        **dict.fromkeys(WEIGHTS.split(), "weights"),
    }

    effects = {key: effect(key) for key in _keys(FineTuneSpec)}
    # A run is a trial of a sweep, or knows nothing of it; nor does it know what becomes of its model.
    sections = ("stages", "sweep", "promote", "endpoint", "tracking", "monitoring", "cluster")
    others = {key for key in effects if key.split(".")[0] in sections}
    assert {effects.pop(key) for key in others} == {"nothing"}
    assert effects == expected


def test_every_effect_is_that_of_a_key() -> None:
    keys = set(_keys(FineTuneSpec))

    assert [path for path in EFFECTS if not any(f"{key}.".startswith(f"{path}.") for key in keys)] == []


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
        labels=LABELS,
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
    assert earlier.basis.labels == LABELS


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
    given = _document("train.learning_rate=3e-5", "data.keep={b: [y], a: [x]}", "train.gradient_clip=null")
    lock = records.LOCK.model_copy(update={"data_fingerprint": "f" * 64, "model_sha256": "a" * 64})
    runs.create(storage, name="films", document=document.dump(given), lock=lock, now=records.NOW)
    earlier = resumption.find(storage, "films", kind="FineTune")

    assert earlier is not None
    assert decide(earlier, replace(_basis(), document=given)) == GoOn(earlier.run, ())


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
