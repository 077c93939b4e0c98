"""What a run in a cluster tells of itself there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from eagleray.errors import ClusterError, Interrupted, UserError
from eagleray.flow import progress, teller
from eagleray.flow.publishing import NotPromoted
from eagleray.kube import in_cluster, phases
from eagleray.kube.in_cluster import Account, Board
from eagleray.store.runs import ProgressRecord
from tests.support import loopback
from tests.support.fake_kubernetes import Allowed, ApiServer, Fault

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ROLE = Allowed(("get", "patch"), ("",), ("configmaps",), ("demo-progress",))


class Silent:
    """An observer that keeps what it is told."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.warnings: list[str] = []

    def warn(self, message: str) -> None:
        self.warnings.append(message)

    def step(self, step: str, state: str, detail: str) -> None:
        self.said.append(f"{step} {state}")

    def progress(self, record: ProgressRecord) -> None:
        self.said.append(f"step {record.step}")

    def training(self) -> AbstractContextManager[Any]:
        return nullcontext(self)


@pytest.fixture
def server() -> Iterator[ApiServer]:
    with ApiServer(roles={"run": [ROLE]}) as server:
        server.put({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "demo-progress"}})
        yield server


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(teller, "AT_END_S", 0.0)
    monkeypatch.setattr(teller, "AGAIN_S", 0.01)


@pytest.fixture
def board(server: ApiServer, tmp_path: Path) -> Board:
    (tmp_path / "token").write_text("run\n")
    return Board(Account(server.url, tmp_path / "token", None), "default", "demo-progress")


def told(server: ApiServer) -> dict[str, str]:
    found = server.get("ConfigMap", "demo-progress")
    assert found is not None
    return dict(found.get("data", {}))


def live(board: Board, observer: Any, *, error: BaseException | None = None) -> None:
    with progress.told(observer, board, now=lambda: NOW) as life:
        life.step("train", "begun", "")
        with life.training() as view:
            view.progress(ProgressRecord(step=10, total_steps=600, phase="training", updated_at=NOW))
        if error is not None:
            raise error
        life.step("train", "done", "demo-0001, validation f1_macro 0.9120, loss 0.2000")
        life.step("register", "there", "demo@3")
        life.step("promote", "begun", "")


def test_the_end_is_told_with_all_that_came_before(server: ApiServer, board: Board) -> None:
    observer = Silent()
    live(board, observer)
    assert told(server) == {
        "phase": "promote",
        "run": "demo-0001",
        "steps": "10/600",
        "metric": "f1_macro 0.9120",
        "version": "3",
        "outcome": "promoted",
        "message": "",
        "updated_at": "2026-01-01T00:00:00+00:00",
    }
    assert observer.said == ["train begun", "step 10", "train done", "register there", "promote begun"]


def test_the_operator_reads_what_is_told(server: ApiServer, board: Board) -> None:
    live(board, Silent())
    read = phases.of_progress(server.get("ConfigMap", "demo-progress"), since=None)
    assert (read.phase, read.run, read.steps, read.version, read.outcome) == (
        *("promote", "demo-0001", "10/600", "3", "promoted"),
    )


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (NotPromoted("f1 0.1 is below 0.9"), "not-promoted"),
        (UserError("data/train.jsonl is not there"), "refused"),
        (ClusterError("a worker was lost"), "failed"),
        (ZeroDivisionError(), "failed"),
        (Interrupted("stopped", exit_code=143), ""),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_how_it_ended_is_told(server: ApiServer, board: Board, error: BaseException, outcome: str) -> None:
    with pytest.raises(type(error)):
        live(board, Silent(), error=error)
    assert told(server)["outcome"] == outcome
    assert told(server)["message"] == (str(error) or type(error).__name__)


def test_only_this_one_object_is_written(server: ApiServer, board: Board) -> None:
    live(board, Silent())
    assert {(each.verb, each.resource, each.name) for each in server.writes} == {
        ("patch", "configmaps", "demo-progress")
    }


@pytest.mark.parametrize("status", [500, None], ids=["500", "dropped"])
def test_the_last_word_is_told_though_a_request_fails(
    server: ApiServer, board: Board, monkeypatch: pytest.MonkeyPatch, status: int | None
) -> None:
    monkeypatch.setattr(teller, "AT_END_S", 30.0)
    observer = Silent()
    server.inject(Fault(status, times=2))  # the first, and that of the end
    with pytest.raises(NotPromoted):
        live(board, observer, error=NotPromoted("f1 0.1 is below 0.9"))
    assert told(server)["outcome"] == "not-promoted"
    assert len(observer.warnings) == 1


@pytest.mark.parametrize("fault", [Fault(500, times=99), Fault(times=99)], ids=["500", "dropped"])
def test_a_server_that_is_away_disturbs_no_run(server: ApiServer, board: Board, fault: Fault) -> None:
    observer = Silent()
    server.inject(fault)
    live(board, observer)
    assert len(observer.warnings) == 1
    assert observer.warnings[0].endswith("the run goes on")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        pytest.param(loopback.SSH, "the Kubernetes API server does not answer: SSH-2.0", id="no-http"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{", "does not answer: Incomplete", id="half"),
        pytest.param(b"HTTP/1.1 403 No\r\nContent-Length: 9\r\n\r\n{", "HTTP Error 403: No", id="half-a-refusal"),
    ],
)
def test_what_answers_in_its_place_disturbs_no_run(tmp_path: Path, answer: bytes, words: str) -> None:
    (tmp_path / "token").write_text("run\n")
    observer = Silent()
    with loopback.answering(answer) as port:
        account = Account(f"http://127.0.0.1:{port}", tmp_path / "token", None)
        live(Board(account, "default", "demo-progress"), observer)
    (warning,) = observer.warnings
    assert words in warning
    assert warning.endswith("the run goes on")


def test_what_is_not_allowed_is_said(server: ApiServer, board: Board, tmp_path: Path) -> None:
    observer = Silent()
    live(Board(board.account, "default", "another"), observer)
    assert 'cannot patch resource "configmaps"' in observer.warnings[0]


def test_without_a_board_nothing_is_told() -> None:
    observer = Silent()
    with progress.told(observer, None) as life:  # type: ignore[arg-type]
        assert life is observer


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"EAGLERAY_PROGRESS": "demo-progress"}, "give NAMESPACE/NAME"),
        ({"EAGLERAY_PROGRESS": "a/b/c"}, "give NAMESPACE/NAME"),
        ({"EAGLERAY_PROGRESS": "ml/demo-progress"}, "this is no pod of a cluster"),
    ],
)
def test_what_cannot_be_meant_is_refused(environment: dict[str, str], words: str) -> None:
    with pytest.raises(UserError, match=words):
        in_cluster.board(environment)


def test_a_pod_finds_its_server() -> None:
    found = in_cluster.board(
        {
            "EAGLERAY_PROGRESS": "ml/demo-progress",
            "KUBERNETES_SERVICE_HOST": "fd00::1",
            "KUBERNETES_SERVICE_PORT": "6443",
        }
    )
    assert found is not None
    assert (found.account.url, found.namespace, found.name) == ("https://[fd00::1]:6443", "ml", "demo-progress")
    assert in_cluster.board({}) is None
