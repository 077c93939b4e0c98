from __future__ import annotations

from pathlib import Path

import pytest

from bench.results import digest


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("bench/rows.py", "bench/peers.py", "tests/support/gloo.py", "tests/unit/test_a.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("1", encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(
    ("changed", "is_same"),
    [
        pytest.param("bench/peers.py", False, id="a module that scripts share"),
        pytest.param("bench/new.py", False, id="one that is new"),
        pytest.param("tests/support/gloo.py", False, id="what scripts share with tests"),
        pytest.param("bench/rows.py", True, id="what is demanded"),
        pytest.param("bench/page.py", True, id="how it is shown"),
        pytest.param("tests/unit/test_a.py", True, id="a test"),
    ],
)
def test_a_digest_is_of_all_that_measures(tree: Path, changed: str, is_same: bool) -> None:
    before = digest(tree)

    (tree / changed).write_text("2", encoding="utf-8")

    assert (digest(tree) == before) is is_same
