"""What is missing is told with how to mend it."""

from __future__ import annotations

import socket
from importlib import metadata
from pathlib import Path

import pytest

from eagleray.flow import doctor
from eagleray.flow import findings as machine
from eagleray.flow.doctor import Finding, examine


def findings(tmp_path: Path, storage: str | None = None) -> dict[str, Finding]:
    found = examine(storage=storage or str(tmp_path / "runs"), cache_dir=tmp_path / "cache")
    return {each.what: each for each in found}


def test_a_machine_that_has_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    found = findings(tmp_path)

    assert {
        name: found[name].state for name in ("python", "core", "train", "serve", "storage", "cluster")
    } == dict.fromkeys(("python", "core", "train", "serve", "storage", "cluster"), "ok")
    assert "torch" in found["train"].seen
    assert list(tmp_path.iterdir()) == [], "looking leaves nothing behind"


def test_every_function_has_its_packages_looked_at() -> None:
    declared = metadata.metadata("eagleray").get_all("Provides-Extra") or []
    assert set(doctor.EXTRAS) == {*declared} - {"all", "dev", "test"}


@pytest.mark.parametrize(
    ("installed", "told"),
    [
        pytest.param(None, "torch is not installed", id="absent"),
        pytest.param("1.0", "torch is 1.0, needed is", id="too-old"),
    ],
)
def test_a_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, installed: str | None, told: str) -> None:
    def version(name: str) -> str:
        if name != "torch":
            return metadata.version(name)
        if installed is None:
            raise metadata.PackageNotFoundError(name)
        return installed

    monkeypatch.setattr(doctor, "version", version)
    found = findings(tmp_path)["train"]

    assert found.state == "warning"
    assert told in found.seen
    assert found.remedy == "for training, sweeps and prediction: pip install 'eagleray[train]'"


def test_a_port_that_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        monkeypatch.setattr(doctor, "PORTS", {port: "endpoints"})
        assert findings(tmp_path)[f"port {port}"].state == "warning"
        monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{port}")
        assert "answers" in findings(tmp_path)["cluster"].seen
    found = findings(tmp_path)["cluster"]
    assert (found.state, found.remedy) == ("error", "start the head, or unset it")


def test_a_storage_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    found = findings(tmp_path, str(tmp_path / "file"))["storage"]
    assert found.state == "error"
    assert "EAGLERAY_STORAGE" in found.remedy


def test_little_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_MIN_FREE_BYTES", 2**60)
    monkeypatch.setattr(machine, "_MIN_SHARED_BYTES", 2**60)
    found = findings(tmp_path)
    assert {found[name].state for name in ("cache", "storage", "shared memory")} == {"warning"}
