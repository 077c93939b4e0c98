"""Each mistake in a document is reported once, at its line, with what was given and what is allowed."""

from __future__ import annotations

import pytest

from eagleray.errors import DocumentError
from eagleray.spec import document, shape
from eagleray.spec.task import TaskSpec
from eagleray.spec.task.not_offered import NOT_OFFERED
from tests.support import documents


def _findings(text: str, *overrides: str) -> list[str]:
    with pytest.raises(DocumentError) as raised:
        document.loads(text, source="a.yaml", overrides=overrides)
    return [str(finding) for finding in raised.value.findings]


TASKS = ", ".join(f'"{name}"' for name in shape.models(TaskSpec))
SECTIONS = (
    "storage, model, task, data, method, train, metrics, self_training, stages, scale, checkpoint, failures, watchdog, "
    "sweep, promote, endpoint, tracking, monitoring, cluster"
)
NAME = 'a name of at most 40 lower-case letters, digits and "-" that begins and ends with a letter or digit'


@pytest.mark.parametrize(
    ("sections", "finding"),
    [
        pytest.param(
            {"model": "{source: a/b, revison: x}"},
            '5: spec.model.revison: unknown key, did you mean "revision"? '
            "Allowed here: source, revision, quantization, allow_pickle, allow_remote_code",
            id="unknown-key",
        ),
        pytest.param(
            {"trian": "{}"},
            f'8: spec.trian: unknown key, did you mean "train"? Allowed here: {SECTIONS}',
            id="unknown-section",
        ),
        pytest.param(
            {"max_length": "3"},
            f"8: spec.max_length: unknown key, it belongs at spec.data.max_length. Allowed here: {SECTIONS}",
            id="key-of-another-section",
        ),
        pytest.param(
            {"zzz": "3"}, f"8: spec.zzz: unknown key. Allowed here: {SECTIONS}", id="unknown-key-without-a-hint"
        ),
        pytest.param(
            {"method": "{type: full, rank: 4}"},
            "8: spec.method.rank: unknown key, it belongs at spec.method.rank. Allowed here with type full: type",
            id="key-of-another-type",
        ),
        pytest.param(
            {"train": "{learning_rate: abc}"},
            '8: spec.train.learning_rate: expected a number above 0, got the string "abc"',
            id="text-for-a-number",
        ),
        pytest.param(
            {"train": "{learning_rate: '1e-5'}"},
            '8: spec.train.learning_rate: expected a number above 0, got the string "1e-5": write it without quotes',
            id="quoted-number",
        ),
        pytest.param(
            {"train": "{learning_rate: -1}"},
            "8: spec.train.learning_rate: expected a number above 0, got the number -1",
            id="out-of-range",
        ),
        pytest.param(
            {"train": "{learning_rate: .nan}"},
            "8: spec.train.learning_rate: expected a number above 0, got the number nan",
            id="not-a-number",
        ),
        pytest.param(
            {"train": "{learning_rate: .inf}"},
            "8: spec.train.learning_rate: expected a number above 0, got the number inf",
            id="infinity",
        ),
        pytest.param(
            {"train": "{epochs: 2.5}"},
            "8: spec.train.epochs: expected a whole number of at least 1, got the number 2.5",
            id="fraction-for-a-whole-number",
        ),
        pytest.param(
            {"train": "{epochs: true}"},
            "8: spec.train.epochs: expected a whole number of at least 1, got true",
            id="boolean-for-a-number",
        ),
        pytest.param(
            {"train": "{seed: 2147483648}"},
            "8: spec.train.seed: expected a whole number of at least 0 and below 2147483648, got the number 2147483648",
            id="two-bounds",
        ),
        pytest.param(
            {"train": "{gradient_checkpointing: yes}"},
            '8: spec.train.gradient_checkpointing: expected true or false, got the string "yes": write true',
            id="yes-for-true",
        ),
        pytest.param(
            {"train": "{micro_batch_size: atuo}"},
            '8: spec.train.micro_batch_size: expected a whole number of at least 1, or "auto", got the string "atuo"',
            id="union-of-scalars-once",
        ),
        pytest.param(
            {"train": "{optimizer: sgd}"},
            '8: spec.train.optimizer: expected a mapping whose type is one of "adamw", "adam", "rmsprop", "sgd", '
            'got the string "sgd": write {type: sgd}',
            id="type-alone",
        ),
        pytest.param(
            {"train": "{optimizer: {beta1: 0.8}}"},
            '8: spec.train.optimizer.type: required and missing: give one of "adamw", "adam", "rmsprop", "sgd"',
            id="type-missing",
        ),
        pytest.param(
            {"train": "{optimizer: {type: adamw, beta1: 1}}"},
            "8: spec.train.optimizer.beta1: expected a number of at least 0 and below 1, got the number 1",
            id="no-tag-in-the-path",
        ),
        pytest.param(
            {"task": "{type: text-clasification}"},
            f"6: spec.task.type: unknown type, expected one of {TASKS}, "
            'got the string "text-clasification"; did you mean "text-classification"?',
            id="unknown-type",
        ),
        pytest.param(
            {"task": "{type: [causal-lm]}"},
            f"6: spec.task.type: unknown type, expected one of {TASKS}, got a list",
            id="type-is-a-list",
        ),
        pytest.param(
            {"task": "{type: object-detection}"},
            f"6: spec.task.type: `object-detection` is not offered: {NOT_OFFERED['object-detection']}",
            id="not-offered",
        ),
        pytest.param(
            {"task": "{type: text-classification, labels: [a, 1]}"},
            "6: spec.task.labels[1]: expected a string that is not empty, got the number 1: put it in quotes",
            id="list-entry",
        ),
        pytest.param(
            {"task": "{type: text-classification, labels: spam}"},
            "6: spec.task.labels: expected a list, each entry a string that is not empty, "
            'got the string "spam": write [spam]',
            id="text-for-a-list",
        ),
        pytest.param(
            {"task": "{type: causal-lm, text: ''}"},
            '6: spec.task.text: expected a string that is not empty, got the string ""',
            id="empty-text",
        ),
        pytest.param(
            {"data": "{train: a.csv, keep: {stars: [1]}}"},
            "7: spec.data.keep.stars[0]: expected a string, got the number 1: put it in quotes",
            id="entry-of-a-free-mapping",
        ),
        pytest.param(
            {"data": "{train: a.csv, keep: {a.b: x}}"},
            '7: spec.data.keep."a.b": expected a list, each entry a string, got the string "x": write [x]',
            id="free-key-with-a-dot",
        ),
        pytest.param(
            {"data": "{test: a.csv}"},
            "7: spec.data.train: required and missing: give a string that is not empty",
            id="missing-key",
        ),
        pytest.param(
            {"data": ""},
            "4: spec.data: required and missing: give a mapping with the keys train, validation, test, test_fraction, "
            "keep, language, train_languages, clean, few_shot, balance, augment, max_length, batching",
            id="missing-section",
        ),
        pytest.param(
            {"data": "{train: }"},
            "7: spec.data.train: expected a string that is not empty, got nothing: write a value",
            id="required-key-without-a-value",
        ),
        pytest.param(
            {"data": "{train: a.csv, max_length: }"},
            "7: spec.data.max_length: expected a whole number of at least 8, got nothing: "
            "write a value, or leave the key out",
            id="optional-key-without-a-value",
        ),
        pytest.param(
            {"scale": "{zero: {stage: true}}"},
            "8: spec.scale.zero.stage: expected one of 0, 1, 2, 3, got true",
            id="true-is-not-1",
        ),
        pytest.param(
            {"failures": "{hang: {retries: -1}}"},
            "8: spec.failures.hang.retries: expected a whole number of at least 0, got the number -1",
            id="retries",
        ),
        pytest.param(
            {"failures": "{infrastructure: {backoff_s: 3600}}"},
            "8: spec.failures.infrastructure.backoff_s: expected a number of at least 0 and of at most 300, "
            "got the number 3600",
            id="backoff",
        ),
        pytest.param(
            {"failures": "{user: {retries: 3}}"},
            "8: spec.failures.user: unknown key. Allowed here: infrastructure, preemption, out_of_memory, hang, "
            "numerical, data, fault, skip_bad_samples, max_non_finite_steps, wait_for_workers_s",
            id="no-budget-for-mistakes",
        ),
        pytest.param(
            {"watchdog": "{timeout: 60}"},
            '8: spec.watchdog.timeout: unknown key, did you mean "timeout_s"? Allowed here: timeout_s',
            id="watchdog",
        ),
        pytest.param(
            {"scale": "{min_workers: 0}"},
            "8: spec.scale.min_workers: expected a whole number of at least 1, or null, got the number 0",
            id="no-workers",
        ),
        pytest.param({"name": "Films"}, f'3: metadata.name: expected {NAME}, got the string "Films"', id="name"),
        pytest.param(
            {"name": "a" * 41}, f'3: metadata.name: expected {NAME}, got the string "{"a" * 41}"', id="long-name"
        ),
        pytest.param(
            {"checkpoint": "[" + "x" * 70 + "]"},
            "8: spec.checkpoint: expected a mapping with the keys every_steps, keep, best_by, got a list",
            id="list-for-a-mapping",
        ),
        pytest.param(
            {"train": "{precision: " + "x" * 70 + "}"},
            f'8: spec.train.precision: expected one of "fp32", "bf16", got the string "{"x" * 60}…"',
            id="long-text-is-cut",
        ),
    ],
)
def test_values_and_keys(sections: dict[str, str], finding: str) -> None:
    assert _findings(documents.text(**sections)) == [f"a.yaml:{finding}"]


@pytest.mark.parametrize(
    ("sections", "finding"),
    [
        pytest.param(
            {"data": "{train: a.csv, validation: {fraction: 0.1, file: b.csv}}"},
            "7: spec.data.validation.file: `fraction` and `file` exclude each other: keep the one you mean",
            id="two-validations",
        ),
        pytest.param(
            {"data": "{train: a.csv, validation: {}}"},
            "7: spec.data.validation: give `fraction` (as 0.1) or `file` (as data/validation.jsonl)",
            id="no-validation",
        ),
        pytest.param(
            {"data": "{train: a.csv, test: b.csv, test_fraction: 0.1}"},
            "7: spec.data.test_fraction: `test` and `test_fraction` exclude each other: keep the one you mean",
            id="two-tests",
        ),
        pytest.param(
            {"train": "{schedule: {type: cosine, warmup: 0.1, warmup_steps: 3}}"},
            "8: spec.train.schedule.warmup_steps: `warmup` (a fraction) and `warmup_steps` exclude each other: "
            "keep the one you mean",
            id="two-warmups",
        ),
        pytest.param(
            {"train": "{optimizer: {type: sgd, nesterov: true}}"},
            "8: spec.train.optimizer.nesterov: needs a momentum, this is 0: set `momentum: 0.9`",
            id="nesterov",
        ),
        pytest.param(
            {"scale": "{zero: {stage: 2, offload_parameters: true}}"},
            "8: spec.scale.zero.offload_parameters: needs stage 3, this is stage 2: set `stage: 3`",
            id="offload-parameters",
        ),
        pytest.param(
            {"scale": "{zero: {offload_optimizer: true}}"},
            "8: spec.scale.zero.offload_optimizer: needs stage 1, 2 or 3, this is stage 0: set `stage: 1`",
            id="offload-optimizer",
        ),
        pytest.param(
            {"data": "{train: a.csv, batching: {type: packed}}"},
            "7: spec.data.batching.type: `packed` is for causal-lm: use `length-grouped` or `plain` for "
            "text-classification",
            id="packed-classification",
        ),
        pytest.param(
            {"scale": "{num_workers: 64}"},
            "8: spec.scale.num_workers: 64 workers are more than train.global_batch_size 32: every worker needs "
            "at least one sample a step",
            id="more-workers-than-samples",
        ),
        pytest.param(
            {"scale": "{num_workers: 2, min_workers: 3}"},
            "8: spec.scale.min_workers: 3 is more than num_workers 2: it is the fewest to train with",
            id="more-at-least-than-at-most",
        ),
    ],
)
def test_values_that_do_not_fit_together(sections: dict[str, str], finding: str) -> None:
    assert _findings(documents.text(**sections)) == [f"a.yaml:{finding}"]


def test_all_conflicts_of_the_root_are_reported() -> None:
    text = documents.text(
        task="{type: text-classification, problem: regression, labels: [a]}", train="{label_smoothing: 0.1}"
    )

    assert _findings(text) == [
        "a.yaml:6: spec.task.labels: have no meaning for regression: leave them out",
        "a.yaml:8: spec.train.label_smoothing: has no meaning for regression: leave it out",
    ]


def test_everything_wrong_is_reported_together_in_the_order_of_the_lines() -> None:
    text = documents.text(name="A", model="{source: 7}", data="{train: a, train: b}", train="{epochs: 0, sede: 1}")
    found = _findings(text, "nothing", "scale.num_workers=0")

    places = [finding.split(": ")[0:2] for finding in found]
    assert places == [
        ["a.yaml:3", "metadata.name"],
        ["a.yaml:5", "spec.model.source"],
        ["a.yaml:7", "spec.data.train"],
        ["a.yaml:8", "spec.train.epochs"],
        ["a.yaml:8", "spec.train.sede"],
        ["--set", "'nothing' sets nothing"],
        ["--set", "spec.scale.num_workers"],
    ]


@pytest.mark.parametrize(
    ("header", "findings"),
    [
        pytest.param(
            "apiVersion: eagleray.io/v2\nkind: FineTune\n",
            ['1: apiVersion: unknown apiVersion: expected "eagleray.io/v1alpha1", got the string "eagleray.io/v2"'],
            id="version",
        ),
        pytest.param(
            "apiVersion: v1\nkind: Endpoint\nspec: {anything: 1}\n",
            [
                '1: apiVersion: unknown apiVersion: expected "eagleray.io/v1alpha1", got the string "v1"',
                '2: kind: unknown kind: expected "FineTune", got the string "Endpoint"',
            ],
            id="both-and-nothing-else",
        ),
        pytest.param("- a\n", ["1: expected a mapping with the keys kind, metadata and spec, got a list"], id="list"),
        pytest.param(
            "a\n", ["1: expected a mapping with the keys kind, metadata and spec, got a single value"], id="a"
        ),
        pytest.param("# a\n", [" the document is empty: it needs kind, metadata and spec"], id="empty"),
    ],
)
def test_header(header: str, findings: list[str]) -> None:
    assert _findings(header) == [f"a.yaml:{finding}" for finding in findings]
