"""What differs between two documents, and what a change of each key does to a run that is half done."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from eagleray.spec import shape
from eagleray.spec.finetune import FineTune, FineTuneSpec
from eagleray.train import changes
from eagleray.train.changes import EFFECTS, Basis, Change, Effect, effect
from tests.support import bases


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
    differences = changes.differences(bases.basis(), bases.basis(*overrides, **facts))

    assert {change.path: change.effect for change in differences} == expected


def test_hub_ids_of_two_models_are_two_models() -> None:
    (change,) = changes.differences(bases.basis(model_sha256=""), bases.basis("model.source=b/b", model_sha256=""))

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
    assert [str(change) for change in changes.changes(bases.document(), bases.document(override))] == expected


NOTHING = """
    storage
    model.allow_pickle model.allow_remote_code
    task.max_new_tokens task.num_fillings task.wordnet
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
    metrics
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


def _scored(file: Path, code: str) -> Basis:
    """The basis of a document with a metric of its own in this file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(code, encoding="utf-8")
    metric = f"{{type: function, name: cost, source: '{file}:cost'}}"
    made = changes.basis(bases.document(metrics=f"[{metric}]"), "f" * 64, prompt_of="")
    return replace(made, model_sha256="a" * 64)


@pytest.mark.parametrize(
    ("folder", "code", "expected"),
    [
        pytest.param("a", "def cost(): 1", {}, id="same"),
        pytest.param("b", "def cost(): 1", {"metrics": "nothing"}, id="same-elsewhere"),
        pytest.param("b", "def cost(): 2", {"metrics": "course"}, id="other-elsewhere"),
        pytest.param("a", "def cost(): 2", {"metrics (code)": "course"}, id="edited"),
    ],
)
def test_metrics_are_told_apart_by_their_code(
    tmp_path: Path, folder: str, code: str, expected: dict[str, Effect]
) -> None:
    stored = _scored(tmp_path / "a" / "m.py", "def cost(): 1")

    found = changes.differences(stored, _scored(tmp_path / folder / "m.py", code))

    assert {change.path: change.effect for change in found} == expected


def test_rows_that_another_mixing_draws_are_told_once() -> None:
    def mixed(mixing: str) -> FineTune:
        tone = "{name: tone, task: {type: text-classification}, data: {train: tone.jsonl}}"
        names = "{name: names, task: {type: token-classification}, data: {train: names.txt}}"
        task = f"{{type: multi-task, tasks: [{tone}, {names}], mixing: {mixing}}}"
        return bases.document(task=task, data="{max_length: 64}")

    stored = Basis(mixed("{type: size}"), data_fingerprint="f" * 64, model_sha256="")
    wanted = Basis(mixed("{type: temperature, temperature: 2.0}"), data_fingerprint="0" * 64, model_sha256="")

    assert [change.path for change in changes.differences(stored, wanted)] == ["task.mixing.type"]


@pytest.mark.parametrize(
    ("start_from", "prompt_of", "expected"),
    [
        pytest.param("english", "english-0001@9", {}, id="same"),
        pytest.param("english-0001", "english-0001@9", {"method.start_from": "nothing"}, id="same-by-its-id"),
        pytest.param("english", "english-0002@9", {"method.start_from (run)": "start"}, id="a-newer-run"),
        pytest.param("french", "french-0001@9", {"method.start_from": "start"}, id="another"),
    ],
)
def test_prompts_are_told_apart_by_the_model_they_are_of(
    start_from: str, prompt_of: str, expected: dict[str, Effect]
) -> None:
    def begun(start_from: str, prompt_of: str) -> Basis:
        method = f"{{type: p_tuning_v2, num_virtual_tokens: 4, start_from: {start_from}}}"
        return bases.basis(f"method={method}", prompt_of=prompt_of)

    found = changes.differences(begun("english", "english-0001@9"), begun(start_from, prompt_of))

    assert {change.path: change.effect for change in found} == expected
