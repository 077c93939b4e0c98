"""A real Prometheus scrapes a run, a sweep and an endpoint: every panel of the dashboard shows something of them.

What `tests/contracts` cannot show: that the queries fit the series as they really come.
"""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest

from eagleray.spec.document import dump
from eagleray.store.objects import open_storage
from tests.ray.processes import Shell, shell, wait_until
from tests.serving.endpoints import Callers, served, until
from tests.support import dashboard
from tests.support.dashboard import FOLDER
from tests.support.served_models import new_version
from tests.support.training import document

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("prometheus") is None, reason="prometheus is not here"),
]

SHOWN_S = 120.0
"""How long a panel may stay empty on a machine that is busy otherwise."""
SEARCH = {
    "search": {"type": "grid"},
    "scheduler": {"type": "fifo"},
    "space": {"train.learning_rate": {"grid": [1.0e-3, 1.0e-4, 1.0e-5]}},
    "objectives": [{"metric": "loss", "mode": "min"}],
    "budget": {"trials": 3},
    "max_concurrent": 1,
}


@dataclass(frozen=True)
class Prometheus:
    """A server on loopback that has the shipped configuration and rules, and asks every second."""

    url: str
    folder: Path

    def ask(self, promql: str) -> list[dict[str, Any]]:
        """The series that answer a query now."""
        with urlopen(f"{self.url}/api/v1/query?{urlencode({'query': promql})}", timeout=10) as answer:
            found = json.load(answer)
        assert found["status"] == "success"
        return list(found["data"]["result"])

    def scrapes(self, kind: str, port: int, **labels: str) -> None:
        """From now on."""
        target = [{"targets": [f"127.0.0.1:{port}"], "labels": labels}]
        (self.folder / "targets" / f"{kind}.yaml").write_text(json.dumps(target), encoding="utf-8")

    def shows(self, row: str) -> None:
        """Wait until each panel of a row has something to show."""
        empty = {query.panel: query.promql for query in dashboard.queries() if query.row == row}
        assert len(empty) > 8
        assert wait_until(lambda: not self._still(empty), timeout_s=SHOWN_S), f"nothing to show: {empty}"

    def _still(self, empty: dict[str, str]) -> dict[str, str]:
        for panel, promql in list(empty.items()):
            if self.ask(promql):
                del empty[panel]
        return empty


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    folder = Path(shutil.copytree(FOLDER, tmp_path_factory.mktemp("prometheus") / "monitoring"))
    for file in (folder / "targets").iterdir():
        file.write_text("[]", encoding="utf-8")
    config = folder / "prometheus.yaml"
    config.write_text(config.read_text(encoding="utf-8").replace("15s", "1s"), encoding="utf-8")
    port = _free_port()
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                "prometheus",
                f"--config.file={config}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=log,
            stderr=log,
        )
    running = Prometheus(f"http://127.0.0.1:{port}", folder)
    try:
        assert wait_until(lambda: process.poll() is not None or _is_ready(running.url), timeout_s=60)
        assert process.poll() is None, (folder / "log").read_text(encoding="utf-8")
        yield running
    finally:
        process.terminate()
        process.wait(timeout=30)


@pytest.fixture
def user(tmp_path: Path) -> Iterator[Shell]:
    with shell(tmp_path) as opened:
        yield opened


def start(user: Shell, command: str, model: Path, reviews: Path, **sections: Any) -> tuple[Any, int]:
    """A command that goes on until it is interrupted, and the port of its metrics."""
    port = _free_port()
    train = {"epochs": 1000, "evaluate_every_steps": 20}
    scale = {"cpus_per_worker": 0.5}
    wanted = document(
        model, reviews, train=train, scale=scale, checkpoint={"every_steps": 20}, monitoring={"port": port}, **sections
    )
    (user.folder / "job.yaml").write_text(dump(wanted), encoding="utf-8")
    return user.start("eagleray", command, "job.yaml", "--storage", "runs"), port


def assert_end_is_seen(prometheus: Prometheus, metric: str) -> None:
    """How it ended was told, and its series are gone with it."""
    ends = f'max(last_over_time({metric}{{phase="stopped"}}[5m])) == 1'
    assert wait_until(lambda: bool(prometheus.ask(ends)), timeout_s=30), prometheus.ask(metric)
    assert wait_until(lambda: not prometheus.ask(metric), timeout_s=30), prometheus.ask(metric)


def test_a_run(user: Shell, prometheus: Prometheus, model: Path, reviews: Path) -> None:
    command, port = start(user, "train", model, reviews)
    prometheus.scrapes("drivers", port)
    command.wait_for("training: step")

    prometheus.shows("Train")
    command.interrupt()

    assert command.wait() == 130, command.err
    assert f"metrics for Prometheus at http://127.0.0.1:{port}/metrics" in command.err
    assert_end_is_seen(prometheus, "eagleray_train_phase")


def test_a_sweep(user: Shell, prometheus: Prometheus, model: Path, reviews: Path) -> None:
    command, port = start(user, "sweep", model, reviews, sweep=SEARCH)
    prometheus.scrapes("drivers", port)

    prometheus.shows("Sweep")
    command.interrupt()

    assert command.wait() == 130, command.err
    assert_end_is_seen(prometheus, "eagleray_sweep_phase")


def test_an_endpoint(prometheus: Prometheus, tmp_path: Path) -> None:
    new_version(open_storage(str(tmp_path / "storage")), tmp_path, alias="champion")
    with served("films@champion", tmp_path / "storage", tmp_path) as endpoint:
        key = endpoint.new_key("caller", "predict")
        (prometheus.folder / "endpoint-key").write_text(endpoint.new_key("prometheus", "admin"), encoding="utf-8")
        prometheus.scrapes("endpoints", endpoint.port, endpoint="films")
        until(lambda: endpoint.ask("/v1/models", key=key)[0] == 200, within_s=15, what="the key")
        with Callers(endpoint, key, num=2):
            prometheus.shows("Serve")
        assert (
            prometheus.ask('ALERTS{alertname=~"EaglerayEndpoint(NoReplica|Errors|QueueFull)", alertstate="firing"}')
            == []
        )
    assert wait_until(
        lambda: bool(prometheus.ask('ALERTS{alertname="EaglerayEndpointNoReplica", endpoint="films"}')), timeout_s=30
    )


def _is_ready(url: str) -> bool:
    try:
        with urlopen(f"{url}/-/ready", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
