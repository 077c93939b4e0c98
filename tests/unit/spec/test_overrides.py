"""`--set` lays values over a document, leaf by leaf, and says where it cannot."""

from __future__ import annotations

from typing import Any

import pytest

from eagleray.errors import DocumentError
from eagleray.spec import document, origins
from tests.support import documents


def _value(loaded: document.Loaded, path: str) -> Any:
    value: Any = loaded.document
    for key in path.split("."):
        value = value[key] if isinstance(value, dict) else getattr(value, key)
    return value


@pytest.mark.parametrize(
    ("override", "path", "value"),
    [
        pytest.param("train.learning_rate=3e-5", "spec.train.learning_rate", 3e-5, id="relative"),
        pytest.param("spec.train.learning_rate=3e-5", "spec.train.learning_rate", 3e-5, id="absolute"),
        pytest.param("metadata.name=other", "metadata.name", "other", id="metadata"),
        pytest.param("task.labels=[a, no]", "spec.task.labels", ("a", "no"), id="list"),
        pytest.param("task.labels=['a=b']", "spec.task.labels", ("a=b",), id="equals-in-the-value"),
        pytest.param("task.text_pair=null", "spec.task.text_pair", None, id="null"),
        pytest.param("task.text_pair=", "spec.task.text_pair", None, id="empty-is-null"),
        pytest.param("model.revision='007'", "spec.model.revision", "007", id="quoted"),
        pytest.param("data.keep.stars=['1']", "spec.data.keep.stars", ("1",), id="free-key"),
        pytest.param(
            "checkpoint.best_by={metric: f1_macro, mode: max}",
            "spec.checkpoint.best_by.metric",
            "f1_macro",
            id="mapping",
        ),
        pytest.param("method.type=lora", "spec.method.type", "lora", id="type-of-an-absent-section"),
        pytest.param(" train.seed = 3", "spec.train.seed", 3, id="spaces"),
    ],
)
def test_value_and_origin(override: str, path: str, value: Any) -> None:
    loaded = document.loads(documents.text(), source="a.yaml", overrides=[override])

    assert _value(loaded, path) == value
    assert loaded.origins[path] == origins.Origin("--set")


def test_only_the_leaf_is_replaced() -> None:
    text = documents.text(train="{schedule: {type: linear, warmup: 0.3}}", method="{type: full}")

    loaded = document.loads(text, source="a.yaml", overrides=["train.schedule.type=cosine", "method.type=lora"])

    assert loaded.document.spec.train.schedule.warmup == 0.3
    assert loaded.document.spec.method.type == "lora"
    assert {path: str(loaded.origins[path]) for path in loaded.origins if "schedule" in path} == {
        "spec.train.schedule.type": "--set",
        "spec.train.schedule.warmup": "line 8",
        "spec.train.schedule.warmup_steps": "default",
        "spec.train.schedule.final": "default",
    }


def test_a_choice_left_to_its_default_keeps_the_type_of_the_default() -> None:
    overrides = ["train.schedule.warmup_steps=5", "data.validation.file=b.csv"]

    loaded = document.loads(documents.text(), source="a.yaml", overrides=overrides)

    assert (loaded.document.spec.train.schedule.type, loaded.document.spec.train.schedule.warmup) == ("linear", 0.0)
    assert loaded.origins["spec.train.schedule.type"] == origins.DEFAULT
    assert loaded.document.spec.data.validation.fraction is None


def test_a_mapping_replaces_the_mapping_of_the_document() -> None:
    text = documents.text(train="{schedule: {type: linear, warmup: 0.3}}")

    loaded = document.loads(text, source="a.yaml", overrides=["train.schedule={type: cosine}"])

    assert loaded.document.spec.train.schedule.warmup == 0.0
    assert str(loaded.origins["spec.train.schedule.warmup"]) == "default"


def test_the_last_of_several_wins() -> None:
    loaded = document.loads(documents.text(), source="a.yaml", overrides=["train.seed=1", "train.seed=2"])

    assert loaded.document.spec.train.seed == 2


def test_order_of_type_and_its_keys_does_not_matter() -> None:
    loaded = document.loads(documents.text(), source="a.yaml", overrides=["method.rank=2", "method.type=lora"])

    assert loaded.document.spec.method.model_dump()["rank"] == 2


@pytest.mark.parametrize(
    ("override", "finding"),
    [
        pytest.param("train", "'train' sets nothing: write KEY=VALUE, as in train.learning_rate=3e-5", id="no-value"),
        pytest.param(
            "=3",
            "'' is no path: write keys joined by dots, as in train.learning_rate; write KEY=VALUE, "
            "as in train.learning_rate=3e-5",
            id="no-key",
        ),
        pytest.param(
            "task.labels[0]=a",
            "'task.labels[0]' is no path: write keys joined by dots, as in train.learning_rate; "
            "set the whole list, as in task.labels=[a, b]",
            id="list-entry",
        ),
        pytest.param(
            "trian.seed=3",
            'spec.trian: unknown key, did you mean "train"? '
            "Allowed here: storage, model, task, data, method, train, metrics, self_training, stages, scale, "
            "checkpoint, failures, watchdog, sweep, promote, endpoint, tracking, monitoring, cluster",
            id="unknown-section",
        ),
        pytest.param(
            "spec.model.revison=x",
            'spec.model.revison: unknown key, did you mean "revision"? '
            "Allowed here: source, revision, quantization, allow_pickle, allow_remote_code",
            id="unknown-key",
        ),
        pytest.param(
            "train.seed=x",
            'spec.train.seed: expected a whole number of at least 0 and below 2147483648, got the string "x"',
            id="wrong-type",
        ),
        pytest.param(
            "data.train=*.csv",
            "spec.data.train: anchors and aliases are not allowed: write the value out, or quote a text that starts "
            "with * or &",
            id="unquoted-glob",
        ),
        pytest.param(
            "task.labels=[a",
            "spec.task.labels: not YAML: expected ',' or ']', but got '<stream end>' "
            "(while parsing a flow sequence that begins in line 1)",
            id="no-yaml",
        ),
        pytest.param(
            "model.source.x=1",
            "spec.model.source: the document has a value here, not a mapping: spec.model.source.x cannot be set",
            id="below-a-value",
        ),
        pytest.param(
            "checkpoint.best_by.metric=loss",
            'spec.checkpoint.best_by.mode: required and missing: give one of "max", "min"',
            id="rest-is-missing",
        ),
    ],
)
def test_refused(override: str, finding: str) -> None:
    with pytest.raises(DocumentError) as raised:
        document.loads(documents.text(), source="a.yaml", overrides=[override])

    assert [str(found) for found in raised.value.findings] == [f"--set: {finding}"]
