"""Prometheus can read what one replica tells, and what several tell as one."""

from __future__ import annotations

import shutil
import subprocess
from collections import Counter

import pytest
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families

from eagleray.serving.telemetry import Telemetry, merged

ODD = 'a "b"\\c\nd{}ü'


def _busy(replica: str, *, times: int = 1, model: str = "reviews") -> Telemetry:
    told = Telemetry(replica)
    for _ in range(times):
        told.request(route="/v1/predict", status=200, model=model, version="3", seconds=0.02)
        told.request(route="/v1/predict", status=429, model=model, version="", seconds=0.001)
        told.batch(model=model, num_inputs=2, num_tokens=8, num_padded=10, model_s=0.01, waited_s=[0.001, 0.002])
        told.generated(model=model, num_read=5, num_generated=7)
    told.versions(model, stable=3, candidate=None)
    return told


def _families(text: str) -> dict[str, Metric]:
    found = list(text_string_to_metric_families(text))
    assert max(Counter(family.name for family in found).values()) == 1
    return {family.name: family for family in found}


def _values(text: str, name: str, **labels: str) -> dict[str, float]:
    """The samples of this name that have these labels, by replica."""
    samples = [sample for family in _families(text).values() for sample in family.samples]
    return {
        sample.labels.get("replica", ""): sample.value
        for sample in samples
        if sample.name == name and labels.items() <= sample.labels.items()
    }


@pytest.mark.parametrize(
    ("name", "labels", "expected"),
    [
        ("eagleray_endpoint_requests_total", {"status": "200", "version": "3", "route": "/v1/predict"}, 2),
        ("eagleray_endpoint_requests_total", {"status": "429", "version": ""}, 2),
        ("eagleray_endpoint_request_seconds_count", {"route": "/v1/predict"}, 4),
        ("eagleray_endpoint_request_seconds_sum", {}, 0.042),
        ("eagleray_endpoint_queue_seconds_count", {"model": "reviews"}, 4),
        ("eagleray_endpoint_model_seconds_count", {}, 2),
        ("eagleray_endpoint_batch_inputs_sum", {}, 4),
        ("eagleray_endpoint_batch_inputs_bucket", {"le": "2.0"}, 2),
        ("eagleray_endpoint_batch_inputs_bucket", {"le": "1.0"}, 0),
        ("eagleray_endpoint_tokens_total", {"kind": "read"}, 26),
        ("eagleray_endpoint_tokens_total", {"kind": "padding"}, 4),
        ("eagleray_endpoint_tokens_total", {"kind": "generated"}, 14),
        ("eagleray_endpoint_model_version", {"role": "stable"}, 3),
        ("eagleray_endpoint_model_version", {"role": "candidate"}, 0),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_one_replica(name: str, labels: dict[str, str], expected: float) -> None:
    text = _busy("r1", times=2).text()

    assert _values(text, name, **labels) == {"r1": pytest.approx(expected)}
    assert _values(merged([text], num_replicas=1), name, **labels) == {"r1": pytest.approx(expected)}


def test_replicas_stand_side_by_side() -> None:
    text = merged((_busy("r1", times=1).text(), _busy("r2", times=3).text()), num_replicas=2)

    assert _values(text, "eagleray_endpoint_requests_total", status="200") == {"r1": 1, "r2": 3}
    assert _values(text, "eagleray_endpoint_request_seconds_bucket", le="+Inf") == {"r1": 2, "r2": 6}
    assert _values(text, "eagleray_endpoint_replicas") == {"": 2}


def test_merging_changes_no_sample() -> None:
    texts = [_busy("r1").text(), _busy("r2", times=2, model=ODD).text(), Telemetry("r3").text()]
    together = {(s.name, *sorted(s.labels.items())): s.value for f in _families_of(texts) for s in f.samples}
    again = _families(merged(texts, num_replicas=3))
    again.pop("eagleray_endpoint_replicas")

    assert {(s.name, *sorted(s.labels.items())): s.value for f in again.values() for s in f.samples} == together
    assert {family.name: (family.type, family.documentation) for family in again.values()} == {
        family.name: (family.type, family.documentation) for family in _families_of(texts)
    }


def _families_of(texts: list[str]) -> list[Metric]:
    return [family for text in texts for family in text_string_to_metric_families(text)]


@pytest.mark.parametrize("texts", [[], [Telemetry("r1").text()]], ids=["no-replica", "nothing-happened"])
def test_there_is_always_the_number_of_replicas(texts: list[str]) -> None:
    assert _values(merged(texts, num_replicas=len(texts)), "eagleray_endpoint_replicas") == {"": len(texts)}


def test_a_candidate_that_left() -> None:
    told = Telemetry("r1")
    told.versions("reviews", stable=3, candidate=4)
    assert _values(told.text(), "eagleray_endpoint_model_version", role="candidate") == {"r1": 4}
    told.versions("reviews", stable=4, candidate=None)
    assert _values(told.text(), "eagleray_endpoint_model_version", role="candidate") == {"r1": 0}
    assert _values(told.text(), "eagleray_endpoint_model_version", role="stable") == {"r1": 4}


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not here")
@pytest.mark.parametrize("model", ["reviews", ODD], ids=["plain", "odd"])
def test_promtool_has_nothing_to_say(model: str) -> None:
    text = merged((_busy("r1", model=model).text(), _busy("r2", times=3).text()), num_replicas=2)
    told = subprocess.run(["promtool", "check", "metrics"], input=text, text=True, capture_output=True, timeout=60)

    assert (told.returncode, told.stdout + told.stderr) == (0, "")
