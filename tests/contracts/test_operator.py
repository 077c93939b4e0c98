"""The operator as it is shipped: what it installs, what it may do, what it brings."""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

import pytest

import eagleray
from tests.support.shipped import built

ROOT = Path(__file__).parents[2]
MOST_BYTES = 150_000_000
HEAVY = ("torch", "ray", "deepspeed", "transformers")


def test_it_is_never_an_administrator() -> None:
    rules = [rule for each in built("operator") for rule in each.get("rules", ())]
    assert not [rule for rule in rules if "*" in (*rule["verbs"], *rule["apiGroups"], *rule["resources"])]
    assert not [rule for rule in rules if {"secrets", "nodes", "pods/exec"} & set(rule["resources"])]
    assert not [rule for rule in rules if {"escalate", "bind", "impersonate"} & set(rule["verbs"])]


def test_in_one_namespace_nothing_is_anywhere_else() -> None:
    found = built("overlays/operator-namespace")
    assert {each["metadata"].get("namespace") for each in found} == {"ml"}
    assert not [each["kind"] for each in found if each["kind"].startswith(("Cluster", "Custom"))]
    subjects = [subject for each in found for subject in each.get("subjects", ())]
    assert {subject["namespace"] for subject in subjects} == {"ml"}
    (deployment,) = [each for each in found if each["kind"] == "Deployment"]
    assert deployment["spec"]["template"]["spec"]["containers"][0]["args"] == ["operator", "--namespace", "ml"]


def test_its_image_is_of_this_version() -> None:
    (deployment,) = [each for each in built("operator") if each["kind"] == "Deployment"]
    image = deployment["spec"]["template"]["spec"]["containers"][0]["image"]
    assert image == f"eagleray/operator:{eagleray.__version__}"


def test_without_a_namespace_it_says_what_to_give() -> None:
    done = subprocess.run([sys.executable, "-m", "eagleray", "operator"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "give --namespace, once or several times, or --all-namespaces" in done.stderr


@pytest.mark.slow  # installs from the package index
@pytest.mark.timeout(600)
def test_it_is_light(tmp_path: Path) -> None:
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / "bin" / "python"
    constraints = tmp_path / "constraints.txt"
    locked = (ROOT / "requirements.lock").read_text().splitlines()
    constraints.write_text("\n".join(row for row in locked if not row.startswith(("#", "pip=", "setuptools="))))
    site = next((tmp_path / "venv" / "lib").glob("python*")) / "site-packages"
    before = _bytes(site)
    command = [python, "-m", "pip", "install", "--quiet", "--constraint", constraints, f"{ROOT}[operator]"]
    subprocess.run(command, check=True)
    assert not [name for name in HEAVY if (site / name).exists()]
    assert _bytes(site) - before < MOST_BYTES
    subprocess.run([python, "-m", "eagleray", "operator", "--help"], check=True, capture_output=True)
    subprocess.run([python, "-c", "import eagleray.kube.handlers"], check=True)
    sys.stdout.write(f"{(_bytes(site) - before) / 1e6:.0f} MB\n")


def _bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
