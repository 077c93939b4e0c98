"""What does not go together is refused where it is written, with what to do instead."""

from __future__ import annotations

import pytest

from eagleray.errors import DocumentError
from eagleray.spec import document
from tests.support import documents


@pytest.mark.parametrize(
    ("overrides", "place"),
    [
        (["train.r_drop=1.0", "task={type: causal-lm}"], "spec.train.r_drop"),
        (["train.r_drop=1.0", "task.problem=regression"], "spec.train.r_drop"),
        (["method={type: freeze}", "task={type: causal-lm}"], "spec.method"),
        (["method={type: freeze, cache_features: true}", "task={type: causal-lm}"], "spec.method.cache_features"),
        (["method={type: freeze, cache_features: true, thaw: 0.5}"], "spec.method.cache_features"),
        (["method={type: p_tuning_v2}", "train.gradient_checkpointing=true"], "spec.train.gradient_checkpointing"),
        (
            ["method={type: prompt_tuning}", "task={type: causal-lm}", "data.batching={type: packed}"],
            "spec.data.batching.type",
        ),
        (["model.quantization={type: nf4}", "method={type: lora}"], "spec.model.quantization"),
        (["model.quantization={type: nf4}", "scale.gpus_per_worker=1"], "spec.model.quantization"),
        (
            [
                "model.quantization={type: nf4}",
                "method={type: lora}",
                "scale.gpus_per_worker=1",
                "scale.zero.stage=3",
            ],
            "spec.model.quantization",
        ),
        (["train.mixup=0.2", "task={type: causal-lm}"], "spec.train.mixup"),
        (["train.mixup=0.2", "train.r_drop=1.0"], "spec.train.mixup"),
        (["train.mixup=0.2", "method={type: freeze, cache_features: true}"], "spec.train.mixup"),
        (["train.mixup=0.2", "failures.skip_bad_samples=true"], "spec.failures.skip_bad_samples"),
        (["task.probabilities=p", "task.problem=multi-label"], "spec.task.probabilities"),
        (["task.probabilities=p", "train.loss={type: focal}"], "spec.train.loss"),
        (["self_training={unlabeled: x.jsonl, labels: soft}", "train.loss={type: focal}"], "spec.self_training.labels"),
        (["method={type: p_tuning_v2}", "task={type: masked-lm}"], "spec.method.type"),
        (["method={type: prompt_tuning}", "task={type: image-classification}"], "spec.method.type"),
        (["train.schedule={type: reduce-on-plateau, metric: f2}"], "spec.train.schedule.metric"),
        (["self_training={unlabeled: x.jsonl}", "task={type: causal-lm}"], "spec.self_training"),
        (["method={type: ia3}", "task={type: image-classification}"], "spec.method.type"),
        (
            ["self_training={unlabeled: x.jsonl, labels: soft}", "task={type: token-classification}"],
            "spec.self_training.labels",
        ),
        (["self_training={unlabeled: x.jsonl}", "task.problem=multi-label"], "spec.self_training"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else value,
)
def test_refused(overrides: list[str], place: str) -> None:
    with pytest.raises(DocumentError) as raised:
        document.loads(documents.text(), source="document.yaml", overrides=overrides)

    assert [finding.path for finding in raised.value.findings] == [place]


@pytest.mark.parametrize(
    "overrides",
    [
        ["train.r_drop=1.0", "task.problem=multi-label"],
        ["model.quantization={type: nf4}", "method={type: lora}", "scale.gpus_per_worker=1", "scale.zero.stage=2"],
        ["method={type: freeze, bottom_layers: 0}", "task={type: causal-lm}"],
        ["method={type: freeze, cache_features: true}"],
        ["self_training={unlabeled: x.jsonl, per_class: true}"],
        ["self_training={unlabeled: x.jsonl, labels: soft}"],
        ["self_training={unlabeled: x.jsonl}", "task={type: token-classification}"],
        ["train.mixup=0.2"],
        ["train.mixup=0.2", "task={type: image-classification}"],
        ["method={type: p_tuning_v2, start_from: films-0001}"],
        ["train.schedule={type: reduce-on-plateau, metric: f1_macro, mode: max}"],
    ],
    ids=" ".join,
)
def test_allowed(overrides: list[str]) -> None:
    assert isinstance(overrides, list)
    document.loads(documents.text(), source="document.yaml", overrides=overrides)
