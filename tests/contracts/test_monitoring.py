"""What is shipped for Prometheus and Grafana knows the metrics that the code has, and promtool accepts it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml

from eagleray.monitoring.families import ALL, LATENCY_S, Family
from tests.support import dashboard
from tests.support.dashboard import DASHBOARD, FOLDER

RULES = (FOLDER / "rules.yaml").read_text(encoding="utf-8")
GROUPS: list[dict[str, Any]] = yaml.safe_load(RULES)["groups"]
ALERTS = sorted({rule["alert"] for group in GROUPS for rule in group["rules"] if "alert" in rule})
RECORDED = {rule["record"] for group in GROUPS for rule in group["rules"] if "record" in rule}
DOCS = (FOLDER.parents[1] / "docs" / "monitoring.md").read_text(encoding="utf-8")
SERIES = {series: family for family in ALL for series in family.series}

needs_promtool = pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not here")


def asked(text: str) -> set[str]:
    """The names of metrics in queries, recorded ones included. A pattern of names is none."""
    return set(re.findall(r"\b(?:\w+:)?eagleray_\w+(?::\w+)?", re.sub(r'__name__=~"[^"]*"', "", text)))


def promtool(*arguments: str, folder: Path = FOLDER, text: str | None = None) -> str:
    done = subprocess.run(
        ["promtool", *arguments], cwd=folder, input=text, text=True, capture_output=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("family", ALL, ids=lambda family: family.name)
def test_names_follow_the_scheme(family: Family) -> None:
    assert re.fullmatch(r"eagleray_(train|sweep|endpoint)_[a-z_]+", family.name)
    assert family.name.endswith("_total") == (family.kind == "counter")
    assert not re.search(r"(_ms|_milliseconds|_minutes|_percent|_mb|_count|_sum|_bucket)(_|$)", family.name)
    assert (family.kind == "histogram") == bool(family.buckets)
    assert family.help.endswith(".")
    assert len(set(family.labels)) == len(family.labels)


def test_names_are_unique() -> None:
    assert len(SERIES) == sum(len(family.series) for family in ALL)


@pytest.mark.parametrize("name", ["rules.yaml", "rules_test.yaml", "dashboard.json"])
def test_only_metrics_that_exist_are_asked_for(name: str) -> None:
    found = asked((FOLDER / name).read_text(encoding="utf-8"))

    assert len(found) > 5
    assert sorted(found - set(SERIES) - RECORDED) == []


@pytest.mark.parametrize("query", dashboard.queries(), ids=lambda query: f"{query.row}: {query.panel}")
def test_only_labels_that_exist_are_asked_for(query: dashboard.Query) -> None:
    for name, labels in re.findall(r"(eagleray_\w+)\{([^}]*)\}", query.expr):
        if name in SERIES:
            known = {*SERIES[name].labels, "le", "endpoint"}  # the last is the scrape configuration's
            assert set(re.findall(r"(\w+)(?:=~|!~|!=|=)", labels)) <= known


def test_every_metric_is_shown_or_watched() -> None:
    used = asked(RULES) | asked(json.dumps(DASHBOARD))

    assert sorted(family.name for family in ALL if not used & set(family.series)) == []


@pytest.mark.parametrize("family", ALL, ids=lambda family: family.name)
def test_every_metric_is_described(family: Family) -> None:
    [line] = re.findall(rf"^\| `{family.name}` \| (.*)$", DOCS, re.MULTILINE)
    labels = re.findall(r"`(\w+)`", line.split("|")[1])

    assert line.split("|")[0].strip() == family.kind
    assert labels == [label for label in family.labels if label not in ("name", "run", "replica")]


def test_every_alert_is_described_and_tested() -> None:
    tested = set(re.findall(r"alertname: (\w+)", (FOLDER / "rules_test.yaml").read_text(encoding="utf-8")))

    assert sorted(re.findall(r"^\| `(Eagleray\w+)` \|", DOCS, re.MULTILINE)) == ALERTS
    assert sorted(tested) == ALERTS


@pytest.mark.parametrize("alert", ALERTS)
def test_every_alert_is_seen_to_fire_and_not_to(alert: str) -> None:
    tests = yaml.safe_load((FOLDER / "rules_test.yaml").read_text(encoding="utf-8"))["tests"]
    of_it = [each for test in tests for each in test["alert_rule_test"] if each["alertname"] == alert]

    assert {bool(each["exp_alerts"]) for each in of_it} == {True, False}


def test_the_objective_is_a_bound_of_the_histogram() -> None:
    assert {float(bound) for bound in re.findall(r'le="([\d.]+)"', RULES)} <= set(LATENCY_S)


def test_every_panel_can_be_read() -> None:
    found = [panel for _, panel in dashboard.panels()]
    lacking = [
        panel["title"]
        for panel in found
        if not (
            panel["description"].endswith(".") and panel["fieldConfig"]["defaults"].get("unit") and panel["targets"]
        )
    ]

    assert lacking == []
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    assert {row for row, _ in dashboard.panels()} == {"Train", "Sweep", "Serve"}


def test_no_panel_lies_on_another() -> None:
    places = [panel["gridPos"] for panel in DASHBOARD["panels"]]

    assert all(place["x"] + place["w"] <= 24 for place in places)
    assert [pair for pair in combinations(places, 2) if _overlap(*pair)] == []


def test_every_variable_is_chosen_by_the_reader_and_used() -> None:
    variables = {each["name"] for each in DASHBOARD["templating"]["list"]}
    used = set(re.findall(r"\$\{?(\w+)\}?", json.dumps(DASHBOARD["panels"])))

    assert used - {"__rate_interval"} == variables


@needs_promtool
def test_promtool_takes_every_query(tmp_path: Path) -> None:
    rules = [
        {"record": f"panel:query:{number}", "expr": each.promql} for number, each in enumerate(dashboard.queries())
    ]
    path = tmp_path / "panels.yaml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}), encoding="utf-8")

    assert f"{len(rules)} rules found" in promtool("check", "rules", path.name, folder=tmp_path)


@needs_promtool
def test_promtool_takes_the_rules_and_they_do_what_they_should() -> None:
    promtool("check", "rules", "rules.yaml")
    promtool("test", "rules", "rules_test.yaml")


@needs_promtool
@pytest.mark.parametrize("name", ["prometheus.yaml", "prometheus-kubernetes.yaml"])
def test_promtool_takes_the_configuration(name: str, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(FOLDER, tmp_path / "monitoring"))
    (folder / "endpoint-key").write_text("a key", encoding="utf-8")
    config = yaml.safe_load((folder / name).read_text(encoding="utf-8"))
    for job in config["scrape_configs"]:
        # Debian builds Prometheus without the discovery of Kubernetes: all else of that file is checked.
        if job.pop("kubernetes_sd_configs", None):
            job["static_configs"] = [{"targets": ["a:1"]}]
        if "authorization" in job:
            job["authorization"]["credentials_file"] = "endpoint-key"
    (folder / name).write_text(yaml.safe_dump(config), encoding="utf-8")

    assert "SUCCESS" in promtool("check", "config", name, folder=folder)


def _overlap(one: dict[str, int], other: dict[str, int]) -> bool:
    def apart(start: str, size: str) -> bool:
        return one[start] + one[size] <= other[start] or other[start] + other[size] <= one[start]

    return not (apart("x", "w") or apart("y", "h"))
