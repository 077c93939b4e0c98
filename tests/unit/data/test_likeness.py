"""Near duplicates: which texts are much alike, and what else is not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from eagleray.data import likeness

LONG = "a film that is far better than it has any need to be, and warmer than its makers can have meant"


def groups(texts: list[str], tmp_path: Path, *, similarity: float = 0.8) -> list[int]:
    path = tmp_path / "signatures"
    path.write_bytes(likeness.signatures(texts).tobytes())
    identities = np.array([sum(map(ord, text)) * 1000 + len(text) for text in texts], dtype=np.uint64)
    found = likeness.groups(path, rows=len(texts), identities=identities, similarity=similarity)
    return np.unique(found, return_inverse=True)[1].tolist() if len(set(found.tolist())) > 1 else [0] * len(texts)


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        (LONG, LONG.upper() + "!!", True),
        (LONG, LONG.replace("warmer", "warmer,  "), True),
        (LONG, LONG + " it", True),
        (LONG, LONG[: len(LONG) // 2], False),
        (LONG, "nothing of the kind at all, says another who has seen quite another film", False),
        (
            "这部电影非常好看，我很喜欢里面的每一个角色，推荐给大家",
            "这部电影非常好看！我很喜欢里面的每一个角色，推荐给大家。",
            True,
        ),
        ("👍👍👍", "👎👎👎", False),
        ("ok", "no", False),
        ("", "a", False),
    ],
)
def test_pairs(one: str, other: str, alike: bool, tmp_path: Path) -> None:
    found = groups([one, "in between stands a text of its own", other], tmp_path)
    assert (found[0] == found[2]) is alike
    assert found[1] not in (found[0], found[2])


def test_a_chain_of_likes_is_one_group(tmp_path: Path) -> None:
    words = LONG.split()
    chain = [" ".join([*words, *["more"] * n, *words]) for n in range(4)]
    assert len(set(groups([*chain, "else"], tmp_path, similarity=0.7))) == 2


def test_similarity_is_estimated_within_a_tenth() -> None:
    numbers = np.random.default_rng(0).permutation(3000)
    shared, one, other = (" ".join(map(str, part)) for part in np.split(numbers, [2400, 2700]))
    first, second = likeness.signatures([f"{shared} {one}", f"{shared} {other}"])
    pieces = [{text[n : n + 5] for n in range(len(text) - 4)} for text in (f"{shared} {one}", f"{shared} {other}")]
    exact = len(pieces[0] & pieces[1]) / len(pieces[0] | pieces[1])
    assert abs(float((first == second).mean()) - exact) < 0.15


def test_signatures_do_not_depend_on_the_batch() -> None:
    texts = [LONG, "二", "short", LONG * 3]
    together = likeness.signatures(texts)
    assert all((likeness.signatures([text])[0] == row).all() for text, row in zip(texts, together, strict=True))
