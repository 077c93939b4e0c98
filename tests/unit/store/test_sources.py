"""Files inside installed packages are found without importing them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from eagleray.errors import UserError
from eagleray.store.sources import resolve


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "site" / "bird_data"
    (folder / "texts").mkdir(parents=True)
    (folder / "__init__.py").write_text("raise RuntimeError('imported')")
    (folder / "texts" / "train.csv").write_text("")
    (folder / "texts" / "test.csv").write_text("")
    (tmp_path / "site" / "bird_module.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path / "site")
    return folder


@pytest.mark.parametrize(
    "inner", ["texts/train.csv", "texts", "texts/", "texts/*.csv", "**/t*n.csv", ""], ids=lambda inner: inner or "root"
)
def test_what_is_there(package: Path, inner: str) -> None:
    assert Path(resolve(f"pkg://bird_data/{inner}")) == package / inner
    assert "bird_data" not in sys.modules


@pytest.mark.parametrize("source", ["data/x.csv", "/abs/x", "s3://b/x", "hub://a/b", "owner/name", "pkg/x"])
def test_other_sources_are_unchanged(source: str) -> None:
    assert resolve(source) == source


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        pytest.param("pkg://bird_dta/x", "bird_dta is not installed: did you mean bird_data", id="package"),
        pytest.param("pkg://quite_unknown_thing/x", "is not installed: install what brings it", id="unknown-package"),
        pytest.param("pkg://bird_data/texts/trian.csv", r"did you mean texts/train.csv", id="file"),
        pytest.param("pkg://bird_data/train.csv", r"did you mean texts/train.csv\?$", id="other-folder"),
        pytest.param("pkg://bird_data/texts/*.json", r"has no 'texts/\*.json'", id="glob"),
        pytest.param("pkg://bird_module/x", "single module", id="module"),
        pytest.param("pkg://bird_data/../x", "without '..'", id="traversal"),
        pytest.param("pkg://bird_data//etc/passwd", "give pkg://package", id="absolute"),
        pytest.param("pkg://", "give pkg://package", id="nothing"),
        pytest.param("pkg://bird.data/x", "give pkg://package", id="dotted"),
        pytest.param("pkg://__main__/x", "not installed|single module", id="main"),
    ],
)
def test_what_is_not_there(package: Path, source: str, problem: str) -> None:
    with pytest.raises(UserError, match=problem):
        resolve(source)
    assert "bird_data" not in sys.modules
