"""What does not fit together in a task is refused at its line; what a gate may ask for, checkpoints may not."""

from __future__ import annotations

import pytest

from eagleray.errors import DocumentError
from eagleray.spec import document
from tests.support import documents

TRANSLATION = "{type: seq2seq, preset: translation, pair: pair, pairs: {en-de: '', en-fr: ''}}"
BY_BLEU = "{best_by: {metric: bleu, mode: max}}"


@pytest.mark.parametrize(
    ("sections", "expected"),
    [
        pytest.param(
            {"task": "{type: token-classification, format: spans, scheme: none}"},
            "spec.task.scheme: `none` tags words one by one, spans need `bio` or `bioes`",
            id="spans-without-a-scheme",
        ),
        pytest.param({"task": "{type: seq2seq, pair: pair}"}, "spec.task.pairs: `pair` names the column", id="pairs"),
        pytest.param({"task": "{type: seq2seq, pairs: {a: b}}"}, "spec.task.pair: `pair` names the column", id="pair"),
        pytest.param(
            {"task": "{type: question-answering}", "train": "{label_smoothing: 0.1}"},
            "spec.train.label_smoothing: has no meaning for question-answering",
            id="smooth-answers",
        ),
        pytest.param(
            {"task": TRANSLATION, "checkpoint": BY_BLEU},
            "`bleu` is not reported by this task, which reports loss, perplexity, token_accuracy, num_tokens",
            id="checkpoints-by-bleu",
        ),
        pytest.param(
            {"task": TRANSLATION, "promote": "{alias: a, when: {metric: rouge1, at_least: 1}}"},
            "`rouge1` is not reported by this task",
            id="gate-by-another-presets-metric",
        ),
    ],
)
def test_what_does_not_fit_is_refused(sections: dict[str, str], expected: str) -> None:
    with pytest.raises(DocumentError) as raised:
        document.loads(documents.text(**sections), source="a.yaml")
    assert expected in str(raised.value)


@pytest.mark.parametrize("metric", ["bleu", "bleu_en-fr", "perplexity"])
def test_a_gate_may_ask_for_what_is_measured_at_the_end(metric: str) -> None:
    gate = f"{{alias: a, when: {{metric: {metric}, at_least: 1}}}}"
    document.loads(documents.text(task=TRANSLATION, promote=gate), source="a.yaml")
