"""A rollout as a table: what is recorded, what is seen, and the record that follows."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from eagleray.serving import rollout
from eagleray.serving.rollout import LOADING_S, Observed, Traffic
from eagleray.spec.endpoint import RolloutSpec
from eagleray.store.registry import AliasChange
from eagleray.store.rollouts import RolloutRecord
from tests.support.records import NOW

SPEC = RolloutSpec(steps=(0.1, 0.5, 1.0), watch_s=15.0)
SHADOW = SPEC.model_copy(update={"shadow": True})
WATCHED = timedelta(seconds=15)


def _change(number: int = 4, version: int = 2, action: Any = "promote") -> AliasChange:
    return AliasChange(
        name="demo", alias="champion", number=number, version=version, action=action, at=NOW, by="me@here"
    )


def _record(phase: Any, **changes: Any) -> RolloutRecord:
    """Version 2 on its way to take the place of version 1, by change 4."""
    is_over = phase in ("stable", "rolled-back")
    fields: dict[str, Any] = {
        "number": 7,
        "stable": 1,
        "candidate": None if is_over else 2,
        "share": 0.1 if phase == "shifting" else 0.0,
        "facts": {"change": 4},
        **changes,
    }
    return RolloutRecord(name="demo", alias="champion", phase=phase, at=NOW, **fields)


def _advance(
    record: RolloutRecord,
    change: AliasChange | None = None,
    observed: Observed | None = None,
    *,
    spec: RolloutSpec = SPEC,
    after: timedelta = timedelta(0),
) -> dict[str, Any] | None:
    """What changes; None where the record stays. The number rises by one and the time is that of the decision."""
    now = NOW + after
    following = rollout.advance(record, change or _change(), observed or Observed(), spec=spec, now=now)
    if following is None:
        return None
    assert following == RolloutRecord.model_validate_json(following.model_dump_json())
    before = record.model_dump()
    changes = {key: value for key, value in following.model_dump().items() if value != before[key] or key == "phase"}
    assert changes.pop("number") == record.number + 1
    changes.pop("at", None)
    assert following.at == now
    return changes


def _traffic(requests: int = 0, errors: int = 0, latency_s: float = 0.01, num_latencies: int = 0) -> Traffic:
    return Traffic(requests, errors, (latency_s,) * num_latencies)


def test_first_record() -> None:
    first = rollout.begin(_change(number=3, version=2), now=NOW)

    assert (first.number, first.phase, first.stable, first.candidate, first.share) == (1, "stable", 2, None, 0.0)
    assert first.facts == {"change": 3}
    assert rollout.advance(first, _change(number=3, version=2), Observed(), spec=SPEC, now=NOW) is None


# the alias moves

PHASES = ("stable", "proving", "loading", "shadow", "shifting", "rolled-back")


@pytest.mark.parametrize("phase", PHASES)
def test_an_alias_on_a_new_version_begins_anew(phase: str) -> None:
    found = _advance(_record(phase), _change(5, 3), Observed(refusals={2: "broken"}), after=WATCHED)
    assert found is not None
    assert found.pop("share", 0.0) == 0.0
    assert found == {
        "phase": "proving",
        "candidate": 3,
        "reason": "promote of version 3 by me@here",
        "facts": {"change": 5},
    }


@pytest.mark.parametrize("phase", PHASES)
def test_an_alias_back_on_the_stable_version_ends_it(phase: str) -> None:
    record = _record(phase)
    found = rollout.advance(record, _change(5, 1, "rollback"), Observed(), spec=SPEC, now=NOW)

    assert found is not None
    assert (found.phase, found.stable, found.candidate, found.share) == ("stable", 1, None, 0.0)
    assert (found.reason, found.facts) == ("champion is version 1, which is served", {"change": 5})
    assert rollout.advance(found, _change(5, 1, "rollback"), Observed(), spec=SPEC, now=NOW + WATCHED) is None


@pytest.mark.parametrize("phase", PHASES)
def test_an_alias_that_is_removed_ends_it_and_the_stable_version_goes_on(phase: str) -> None:
    record = _record(phase)
    observed = Observed(proof=(), loaded=frozenset({1, 2}))
    found = rollout.advance(record, _change(5, 2, "remove"), observed, spec=SPEC, now=NOW)

    assert found is not None
    assert (found.phase, found.stable, found.candidate, found.share) == ("stable", 1, None, 0.0)
    assert (found.reason, found.facts) == ("champion was removed by me@here: version 1 goes on", {"change": 5})
    assert rollout.advance(found, _change(5, 2, "remove"), observed, spec=SPEC, now=NOW + WATCHED) is None
    promoted_again = rollout.advance(found, _change(6, 2), observed, spec=SPEC, now=NOW)
    assert promoted_again is not None
    assert (promoted_again.phase, promoted_again.candidate) == ("proving", 2)


@pytest.mark.parametrize("phase", PHASES)
def test_an_older_change_than_that_of_the_record_decides_nothing(phase: str) -> None:
    """It was read before another endpoint that follows the alias wrote the record."""
    observed = Observed(proof=(), loaded=frozenset({1, 2}), refusals={2: "broken"})
    for version in (1, 2, 3):
        assert _advance(_record(phase), _change(3, version), observed, after=WATCHED) is None


def test_what_was_promoted_twice_is_proven_again() -> None:
    assert (_advance(_record("rolled-back"), _change(5, 2)) or {})["phase"] == "proving"


# one phase after the other

ALL = frozenset({1, 2})


@pytest.mark.parametrize(
    ("record", "observed", "after_s", "expected"),
    [
        pytest.param(_record("stable"), Observed(proof=(), loaded=ALL), 1e6, None, id="stable-stays"),
        pytest.param(_record("rolled-back"), Observed(proof=(), loaded=ALL), 1e6, None, id="rolled-back-stays"),
        pytest.param(_record("proving"), Observed(loaded=ALL), 1e6, None, id="no-proof-yet"),
        pytest.param(
            _record("proving"),
            Observed(proof=()),
            0,
            {"phase": "loading", "reason": "its golden answers are right"},
            id="proven",
        ),
        pytest.param(
            _record("proving"),
            Observed(proof=("row 1 differs", "row 2 too")),
            0,
            {"phase": "rolled-back", "candidate": None, "reason": "row 1 differs; row 2 too"},
            id="disproved",
        ),
        pytest.param(_record("loading"), Observed(loaded=frozenset({1})), LOADING_S, None, id="not-loaded-yet"),
        pytest.param(
            _record("loading"),
            Observed(loaded=frozenset({1})),
            LOADING_S + 1,
            {"phase": "rolled-back", "candidate": None, "reason": "not every replica has loaded it after 600 s"},
            id="not-loaded-in-time",
        ),
        pytest.param(
            _record("loading"),
            Observed(loaded=frozenset({1}), refusals={2: "no memory"}),
            0,
            {"phase": "rolled-back", "candidate": None, "reason": "a replica could not load it: no memory"},
            id="refused",
        ),
        pytest.param(
            _record("loading"),
            Observed(loaded=ALL, refusals={1: "no memory"}),
            0,
            {"phase": "shifting", "share": 0.1, "reason": "every replica has loaded it"},
            id="loaded-and-another-refused",
        ),
        pytest.param(_record("shifting"), Observed(loaded=ALL), 14.9, None, id="watched"),
        pytest.param(
            _record("shifting"),
            Observed(loaded=ALL),
            15,
            {"phase": "shifting", "share": 0.5, "reason": "no worse with 10% of the requests"},
            id="second-step",
        ),
        pytest.param(
            _record("shifting", share=0.005),
            Observed(loaded=ALL),
            15,
            {"phase": "shifting", "share": 0.1, "reason": "no worse with 0.5% of the requests"},
            id="a-share-that-is-no-step-any-more",
        ),
        pytest.param(
            _record("shifting", share=0.5),
            Observed(loaded=ALL),
            15,
            {"phase": "shifting", "share": 1.0, "reason": "no worse with 50% of the requests"},
            id="last-step",
        ),
        pytest.param(
            _record("shifting", share=1.0),
            Observed(loaded=ALL),
            15,
            {"phase": "stable", "stable": 2, "candidate": None, "share": 0.0, "reason": "took over"},
            id="took-over",
        ),
        pytest.param(
            _record("shifting", share=0.5),
            Observed(loaded=ALL, refusals={2: "no memory"}),
            15,
            {
                "phase": "rolled-back",
                "candidate": None,
                "share": 0.0,
                "reason": "a replica could not load it: no memory",
            },
            id="refused-by-a-new-replica",
        ),
    ],
)
def test_phases(record: RolloutRecord, observed: Observed, after_s: float, expected: dict[str, Any] | None) -> None:
    assert _advance(record, observed=observed, after=timedelta(seconds=after_s)) == expected


@pytest.mark.parametrize(
    ("record", "action", "observed", "expected"),
    [
        pytest.param(
            _record("loading"),
            "promote",
            Observed(loaded=ALL),
            {"phase": "shadow", "reason": "every replica has loaded it"},
            id="copies-first",
        ),
        pytest.param(
            _record("loading"),
            "rollback",
            Observed(loaded=ALL),
            {"phase": "shifting", "share": 1.0, "reason": "every replica has loaded it"},
            id="a-rollback-is-wanted-now",
        ),
        pytest.param(
            _record("shadow"),
            "promote",
            Observed(loaded=ALL, traffic={2: Traffic(30, 0, (), 30, 4), 1: Traffic(30, 0, (), 7, 7)}),
            {
                "phase": "shifting",
                "share": 0.1,
                "reason": "compared with copied requests",
                "facts": {"change": 4, "compared": 30, "different": 4},
            },
            id="compared",
        ),
        pytest.param(
            _record("shadow"),
            "promote",
            Observed(loaded=ALL),
            {
                "phase": "shifting",
                "share": 0.1,
                "reason": "compared with copied requests",
                "facts": {"change": 4, "compared": 0, "different": 0},
            },
            id="nobody-asked",
        ),
        pytest.param(
            _record("shadow"),
            "promote",
            Observed(loaded=ALL, traffic={2: _traffic(10, 5)}),
            {"phase": "rolled-back", "candidate": None, "reason": "50.0% of its requests failed, 0.0% of version 1's"},
            id="copies-fail",
        ),
    ],
)
def test_shadow(record: RolloutRecord, action: str, observed: Observed, expected: dict[str, Any]) -> None:
    assert _advance(record, _change(action=action), observed, spec=SHADOW, after=WATCHED) == expected


def test_shadow_is_watched() -> None:
    assert _advance(_record("shadow"), spec=SHADOW, after=WATCHED - timedelta(seconds=0.1)) is None


@pytest.mark.parametrize(
    ("mine", "old", "is_taken_back"),
    [
        pytest.param(_traffic(), _traffic(), False, id="nothing"),
        pytest.param(_traffic(2, 2), _traffic(), False, id="two-errors-may-have-any-cause"),
        pytest.param(_traffic(3, 3), _traffic(), True, id="three-of-three"),
        pytest.param(_traffic(100, 3), _traffic(100), True, id="above"),
        pytest.param(_traffic(150, 3), _traffic(100), False, id="as-many-as-allowed"),
        pytest.param(_traffic(100, 52), _traffic(100, 50), False, id="as-bad-as-before"),
        pytest.param(_traffic(100, 53), _traffic(100, 50), True, id="worse-than-before"),
        pytest.param(_traffic(0, 0), _traffic(100, 100), False, id="only-the-old-one-fails"),
        pytest.param(_traffic(20, 0, 0.021, 20), _traffic(20, 0, 0.01, 20), True, id="slow"),
        pytest.param(_traffic(20, 0, 0.02, 20), _traffic(20, 0, 0.01, 20), False, id="as-slow-as-allowed"),
        pytest.param(_traffic(20, 0, 0.02, 19), _traffic(20, 0, 0.01, 20), False, id="slow-by-few"),
        pytest.param(_traffic(20, 0, 0.021, 20), _traffic(20, 0, 0.01, 19), False, id="few-to-compare-with"),
    ],
)
@pytest.mark.parametrize("phase", ["loading", "shadow", "shifting"])
def test_traffic(mine: Traffic, old: Traffic, is_taken_back: bool, phase: str) -> None:
    found = _advance(_record(phase), observed=Observed(traffic={2: mine, 1: old}))

    assert (found is not None) == is_taken_back
    if found is not None:
        assert (found["phase"], found["candidate"]) == ("rolled-back", None)


def test_reasons_say_the_numbers() -> None:
    traffic = {2: _traffic(40, 10, 0.05, 30), 1: _traffic(1000, 1, 0.01, 30)}
    found = _advance(_record("shifting", share=0.5), observed=Observed(traffic=traffic))

    assert found == {
        "phase": "rolled-back",
        "candidate": None,
        "share": 0.0,
        "reason": "25.0% of its requests failed, 0.1% of version 1's; "
        "its median latency is 50 ms, that of version 1 is 10 ms",
    }


# whole stories


def _story(
    record: RolloutRecord, change: AliasChange, observed: Observed, *, spec: RolloutSpec = SPEC
) -> list[tuple[str, int, int | None, float]]:
    """All records that follow while nothing else happens, one watch after the other."""
    found, now = [], NOW
    while (following := rollout.advance(record, change, observed, spec=spec, now=now)) is not None:
        assert following.number == record.number + 1
        found.append((following.phase, following.stable, following.candidate, following.share))
        record, now = following, now + WATCHED
        assert len(found) < 20
    return found


@pytest.mark.parametrize(
    ("action", "spec", "expected"),
    [
        pytest.param(
            "promote",
            SPEC,
            [
                ("proving", 1, 2, 0.0),
                ("loading", 1, 2, 0.0),
                ("shifting", 1, 2, 0.1),
                ("shifting", 1, 2, 0.5),
                ("shifting", 1, 2, 1.0),
                ("stable", 2, None, 0.0),
            ],
            id="promotion",
        ),
        pytest.param(
            "promote",
            RolloutSpec(shadow=True, watch_s=15.0),
            [
                ("proving", 1, 2, 0.0),
                ("loading", 1, 2, 0.0),
                ("shadow", 1, 2, 0.0),
                ("shifting", 1, 2, 1.0),
                ("stable", 2, None, 0.0),
            ],
            id="promotion-with-copies",
        ),
        pytest.param(
            "rollback",
            SHADOW,
            [("proving", 1, 2, 0.0), ("loading", 1, 2, 0.0), ("shifting", 1, 2, 1.0), ("stable", 2, None, 0.0)],
            id="rollback",
        ),
    ],
)
def test_from_one_version_to_the_next(
    action: str, spec: RolloutSpec, expected: list[tuple[str, int, int | None, float]]
) -> None:
    observed = Observed(proof=(), loaded=ALL)
    record = _record("stable", facts={"change": 3})
    assert _story(record, _change(action=action), observed, spec=spec) == expected


def test_what_the_endpoint_takes_back_itself_is_no_new_rollout() -> None:
    """It writes the alias as the next change; that settles on the version that is served."""
    failing = Observed(proof=(), loaded=ALL, traffic={2: _traffic(10, 10)})
    refused = rollout.advance(_record("shifting"), _change(), failing, spec=SPEC, now=NOW)
    assert refused is not None
    assert (refused.phase, refused.stable) == ("rolled-back", 1)
    assert rollout.advance(refused, _change(), failing, spec=SPEC, now=NOW) is None  # before the alias is written

    assert _story(refused, _change(5, 1, "rollback"), failing) == [("stable", 1, None, 0.0)]
