"""What is random about a sample follows from seed, epoch and index alone."""

from __future__ import annotations

import numpy as np
import pytest

from eagleray.data import draws


def test_words_are_those_of_every_version() -> None:
    """A checkpoint of today is gone on with by tomorrow's numpy."""
    assert draws.words(2, 7, 0, 3).tolist() == draws.words(3, 7, 0, 3).tolist()[:2]
    assert draws.words(1, 7, 0, 3).tolist() == [13719400753547256892]


@pytest.mark.parametrize("other", [(8, 0, 3), (7, 1, 3), (7, 0, 4)], ids=["seed", "epoch", "index"])
def test_each_fact_counts(other: tuple[int, ...]) -> None:
    assert draws.words(4, 7, 0, 3).tolist() != draws.words(4, *other).tolist()


def test_uniforms_fill_the_interval() -> None:
    drawn = draws.uniforms(10_000, "x")

    assert drawn.min() >= 0.0
    assert drawn.max() < 1.0
    assert np.histogram(drawn, bins=4, range=(0, 1))[0] == pytest.approx([2_500] * 4, rel=0.1)
