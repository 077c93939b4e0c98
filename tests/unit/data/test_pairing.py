"""Which samples are mixed follows from seed, epoch and their global batch; shares are of a Beta distribution."""

from __future__ import annotations

import numpy as np
import pytest

from eagleray.data import pairing

BATCH = np.array([7, 3, 11, 2, 5])


def test_every_sample_is_the_partner_of_one() -> None:
    found = pairing.pairs(BATCH, alpha=0.2, draw=(0, 0))

    assert found.keys() == set(BATCH.tolist())
    assert sorted(partner for partner, _ in found.values()) == sorted(BATCH.tolist())
    assert found == pairing.pairs(BATCH, alpha=0.2, draw=(0, 0))


@pytest.mark.parametrize("draw", [(1, 0), (0, 1)], ids=["another seed", "another epoch"])
def test_another_draw_is_another(draw: tuple[int, int]) -> None:
    assert pairing.pairs(BATCH, alpha=0.2, draw=draw) != pairing.pairs(BATCH, alpha=0.2, draw=(0, 0))


@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
def test_shares_have_the_moments_of_the_distribution(alpha: float) -> None:
    shares = np.array([pairing.share(alpha, draw=(0, number)) for number in range(2000)])

    assert shares.min() >= 0.0 and shares.max() <= 1.0
    assert shares.mean() == pytest.approx(0.5, abs=0.03)
    assert shares.var() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.1)
