"""When DeepSpeed's CPU op counts as compiled, and what happens where it cannot be compiled."""

from __future__ import annotations

import importlib.util
import os
import sys
import sysconfig
from pathlib import Path

import pytest

from eagleray.errors import EaglerayError
from eagleray.train import prebuild

NOW = 4_000_000_000.0  # later than the installation of any package


@pytest.fixture
def extensions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The op's directory in an extension cache of the test's own."""
    monkeypatch.setenv("TORCH_EXTENSIONS_DIR", str(tmp_path))
    directory = tmp_path / prebuild.OP
    directory.mkdir()
    return directory


def put_library(directory: Path, *, compiled_from: Path, compiled_at: float) -> None:
    sources = [compiled_from / "shm_interface.cpp", compiled_from / "shm.cpp"]
    (directory / "build.ninja").write_text("\n".join(f"build x.o: compile {source}" for source in sources))
    library = directory / f"{prebuild.OP}.so"
    library.write_bytes(b"")
    os.utime(library, (compiled_at, compiled_at))


def own_sources() -> Path:
    spec = importlib.util.find_spec("deepspeed")
    assert spec is not None and spec.origin is not None
    return Path(spec.origin).parent / "ops" / "csrc" / "cpu" / "comm"


def test_empty_cache_is_not_built(extensions: Path) -> None:
    assert not prebuild.is_built()


@pytest.mark.parametrize(
    ("compiled_from", "compiled_at", "expected"),
    [
        pytest.param(own_sources(), NOW, True, id="from this environment, later than its sources"),
        pytest.param(own_sources(), 0.0, False, id="older than the sources: DeepSpeed or torch was upgraded"),
        pytest.param(Path("/elsewhere"), NOW, False, id="from another environment: it would be compiled again"),
    ],
)
def test_library_counts_only_for_this_environment(
    extensions: Path, compiled_from: Path, compiled_at: float, expected: bool
) -> None:
    put_library(extensions, compiled_from=compiled_from, compiled_at=compiled_at)

    assert prebuild.is_built() is expected


def test_directory_is_the_one_torch_uses(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from torch.utils.cpp_extension import _get_build_directory

    monkeypatch.delenv("TORCH_EXTENSIONS_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    assert str(prebuild.build_directory()) == _get_build_directory(prebuild.OP, verbose=False)


def test_missing_compiler_is_named_with_its_remedy(extensions: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")

    with pytest.raises(EaglerayError, match=r"`no-such-compiler` is not on the PATH.*apt-get install"):
        prebuild.build(now=NOW)


def test_tools_of_this_environment_come_on_the_path_once(monkeypatch: pytest.MonkeyPatch) -> None:
    scripts = sysconfig.get_path("scripts")
    monkeypatch.setenv("PATH", "/usr/bin")
    monkeypatch.setenv("TORCH_EXTENSIONS_DIR", "/own")

    prebuild.prepare_environment()
    prebuild.prepare_environment()

    assert os.environ["PATH"].split(os.pathsep) == [scripts, "/usr/bin"]
    assert os.environ["TORCH_EXTENSIONS_DIR"] == "/own", "what the user has set stays"


def test_each_virtual_environment_keeps_what_it_compiled(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", os.environ["PATH"])
    monkeypatch.setenv("TORCH_EXTENSIONS_DIR", "")
    monkeypatch.delenv("TORCH_EXTENSIONS_DIR")
    monkeypatch.setattr(sys, "prefix", str(tmp_path))

    prebuild.prepare_environment()

    assert prebuild.build_directory().parent == tmp_path / "torch_extensions"


@pytest.mark.slow
def test_build_passes_a_lock_that_a_killed_compilation_left(extensions: Path) -> None:
    """Only a real compilation shows that torch does not wait for the lock for ever."""
    (extensions / "lock").touch()

    prebuild.build(now=NOW)

    assert prebuild.is_built()
