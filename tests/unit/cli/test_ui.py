"""`eagleray ui`: what is refused before anything listens."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from eagleray.cli import app
from eagleray.store.objects import open_storage
from tests.support.records import new_run


@pytest.fixture
def storage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EAGLERAY_STORAGE", str(tmp_path / "storage"))
    new_run(open_storage(str(tmp_path / "storage")))


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        pytest.param(["--storage", "nowhere"], "nowhere: give the storage of the runs by --storage", id="no-storage"),
        pytest.param(["--tls-cert", "cert.pem"], "--tls-cert and --tls-key go together", id="half-of-tls"),
        pytest.param(["--tls-cert", "c.pem", "--tls-key", "k.pem"], "c.pem cannot be read", id="no-certificate"),
        pytest.param(["--host", "203.0.113.7"], "--host 203.0.113.7 --port 8270: cannot be listened on", id="host"),
        pytest.param(["--port", "70000"], "less than or equal to 65535", id="port"),
    ],
)
def test_refused(storage: None, capsys: pytest.CaptureFixture[str], arguments: list[str], told: str) -> None:
    assert app.main(["ui", *arguments]) == 2
    assert told in capsys.readouterr().err


def test_a_port_that_is_taken(storage: None, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert app.main(["ui", "--port", str(taken.getsockname()[1])]) == 2

    assert "give another --port, or 0 for any that is free" in capsys.readouterr().err
