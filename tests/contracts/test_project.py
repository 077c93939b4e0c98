"""What the project files promise each other: packages, extras, lock, targets."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")
EXTRAS: dict[str, list[str]] = PROJECT["project"]["optional-dependencies"]


def names(requirements: list[str]) -> set[str]:
    return {re.split(r"[\[=<>~! ]", requirement)[0].lower() for requirement in requirements}


def test_all_brings_what_the_project_is_made_of() -> None:
    (everything,) = EXTRAS["all"]
    extras = re.fullmatch(r"eagleray\[(.*)\]", everything)
    assert extras is not None
    packages = names([requirement for extra in extras[1].split(",") for requirement in EXTRAS[extra]])

    assert packages >= {"ray", "torch", "transformers", "deepspeed", "peft", "datasets", "evaluate", "kubernetes"}


def test_control_side_needs_no_machine_learning() -> None:
    assert names(PROJECT["project"]["dependencies"]) == {
        "obstore",
        "packaging",
        "pydantic",
        "pyyaml",
        "rich",
        "typer",
    }


def test_every_dependency_is_locked() -> None:
    locked = names(LOCK.splitlines())
    asked = names([*PROJECT["project"]["dependencies"], *(name for extra in EXTRAS.values() for name in extra)])

    assert asked - {"eagleray"} - locked == set()


def test_lock_has_one_exact_public_version_a_line() -> None:
    """No local version (torch's +cpu), no host, no hash: it installs from any index that has the versions."""
    pins = [line for line in LOCK.splitlines() if line and not line.startswith("#")]

    assert [line for line in pins if not re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.]+", line)] == []


@pytest.mark.parametrize("target", ["demo", "test", "test-long", "check", "format", "lock", "bench", "release", "venv"])
def test_make_target_creates_the_environment(target: str) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")

    assert re.search(rf"^{target}: \.venv/ready\b", makefile, re.MULTILINE)


@pytest.mark.parametrize("folder", ["cluster", "jobs", "serve", "src", "tests"])
def test_top_level_folder_exists(folder: str) -> None:
    assert (ROOT / folder).is_dir()


def test_every_dependency_has_its_reason() -> None:
    page = (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8").lower()
    asked = names([*PROJECT["project"]["dependencies"], *(name for extra in EXTRAS.values() for name in extra)])

    assert sorted(name for name in asked - {"eagleray"} if f"`{name}" not in page) == []
