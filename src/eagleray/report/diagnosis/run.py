"""All that is found about a run, the gravest first."""

from __future__ import annotations

from collections.abc import Iterator

from eagleray.report.diagnosis import fit, gradients, rate, rows, time
from eagleray.report.diagnosis.finding import Finding
from eagleray.report.history import History

_ORDER = ("problem", "warning", "note")


def diagnose(history: History) -> list[Finding]:
    """Look at a run's records."""
    return sorted(_found(history), key=lambda finding: _ORDER.index(finding.severity))


def _found(history: History) -> Iterator[Finding]:
    metrics, training = history.record.metrics, history.figures("loss")
    clip = history.key("train.gradient_clip")
    found = list(
        rate.learning_rate(
            training,
            rate=history.key("train.learning_rate", 0.0),
            method=history.key("method.type", "full"),
            was_not_finite=history.record.error.startswith("the loss was "),
        )
    )
    yield from found
    yield from gradients.exploding(history.figures("gradient_norm"), history.layers(), clip=clip)
    yield from rows.few_rows(history.label_counts(), metrics)
    yield from time.spent(history.goodput)
    if any(finding.severity == "problem" for finding in found):
        return  # of a run that went off, or learned nothing, all else is a consequence
    yield from gradients.vanishing(history.layers())
    yield from gradients.clipped(history.figures("gradient_norm"), clip=clip)
    validation = history.evaluations("loss")
    yield from fit.overfitting(training, validation)
    yield from fit.underfitting(training, validation, metrics)
    yield from rows.wrong_labels(history.mistakes, metrics)
    yield from rows.calibration(metrics)
