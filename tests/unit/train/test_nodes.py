"""Which storage goes when its job goes."""

from __future__ import annotations

from pathlib import Path

import pytest

from eagleray.train import nodes


@pytest.mark.parametrize(
    ("storage", "expected"),
    [
        ("/tmp/ray/session_1/runtime_resources/working_dir_files/_ray_pkg_1/runs", True),
        ("/scratch/ray/session_1/runtime_resources/working_dir_files/_ray_pkg_1/a/b", True),
        ("/home/user/runs", False),
        ("/tmp/runs", False),
        ("/mnt/working_dir_files/runs", False),
    ],
)
def test_goes_with_job(storage: str, expected: bool) -> None:
    assert nodes.goes_with_job(Path(storage)) is expected
