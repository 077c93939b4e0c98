"""Every task learns by every method at every ZeRO stage what it learns at stage 0 alone, or the document is refused.

What a fast test could not show is DeepSpeed: which parts of a model its stages gather in time.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support import matrix_sources, support_matrix
from tests.support.gloo import GlooWorkers
from tests.support.support_matrix import Case
from tests.support.training import Trained, train

Workers = Callable[[int], GlooWorkers]
CASES = [case for case in support_matrix.cases() if support_matrix.refusal(case) is None]


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sources")
    matrix_sources.write(folder)
    return folder


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def alone(
    gloo_workers: Workers,
    sources: Path,
    cache: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[[Case], Trained]:
    """The same task and method by one worker at stage 0."""
    done: dict[tuple[str, str], Trained] = {}

    def alone(case: Case) -> Trained:
        key = case.task, case.variant
        if key not in done:
            wanted = support_matrix.document(Case(*key, stage=0), sources, num_workers=1)
            done[key] = train(gloo_workers(1), wanted, tmp_path_factory.mktemp("alone"), cache)
        return done[key]

    return alone


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=str)
def test_learns_the_same_at_every_stage(
    gloo_workers: Workers,
    sources: Path,
    alone: Callable[[Case], Trained],
    cache: Path,
    tmp_path: Path,
    case: Case,
) -> None:
    expected = alone(case)

    trained = train(gloo_workers(2), support_matrix.document(case, sources, num_workers=2), tmp_path / "storage", cache)

    assert trained.losses == pytest.approx(expected.losses, rel=1e-4)
    losses = [each.outcome["metrics"]["validation"]["loss"] for each in (trained, expected)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    assert expected.losses[0] != pytest.approx(expected.losses[-1], rel=1e-3), "nothing was learned"
