"""How much of a run's time went into steps that count? A pure function of its records.

The clock runs from when the run exists, and whenever it goes on, until it ends or is stopped; in between it stands.
Every second of that is in one category.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal, get_args

from eagleray.store.events import Event
from eagleray.store.records import Record
from eagleray.store.runs import RunRecord
from eagleray.store.times import AttemptTimes

Category = Literal["steps", "start_up", "data", "checkpoint", "evaluation", "lost", "other"]

_KEEPS_ALL = ("interrupt", "preemption", "resize")
"""Why an attempt is asked to stop: it saves before it does."""


class Goodput(Record):
    """Where the time of a run went."""

    wall_s: float
    seconds: dict[Category, float]
    """`steps`: those that count, without the wait for `data`. `lost`: steps that had to be done again, and the time
    until a failure showed. `other`: closing, publishing the model. They add up to `wall_s`."""
    share: float
    """Of `wall_s` that of `steps`."""
    num_untold: int = 0
    """Attempts that trained and left no account: their time is in `lost` or `other`."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """Workers from when they are asked for until they are gone."""

    began_at: datetime
    ended_at: datetime
    lease: int | None = None  # of workers that came up
    ready_at: datetime | None = None
    first_step: int | None = None  # the last one that it need not do
    end: str = ""  # the kind of the event that ended it; empty where it came to its end or goes on
    reason: str = ""
    seconds: Mapping[Category, float] = field(default_factory=dict)

    @property
    def kept_all(self) -> bool:
        """Whether it ended with everything saved."""
        return self.end in ("", "stopped") or (self.end == "restarted" and self.reason in _KEEPS_ALL)


def compute(
    record: RunRecord, events: Sequence[Event], times: Sequence[AttemptTimes], *, until: datetime
) -> Goodput | None:
    """Add up the attempts; None where none has told what it did, as in runs of older versions.

    `until` is when a run that goes on was last heard of.
    """
    if not times:
        return None
    told = attempts(record, events, times, until=until)
    totals = {category: sum(each.seconds[category] for each in told) for category in get_args(Category)}
    wall_s = sum(totals.values())
    leases = {each.lease for each in times}
    return Goodput(
        wall_s=round(wall_s, 3),
        seconds={category: round(seconds, 3) for category, seconds in totals.items()},
        share=round(totals["steps"] / wall_s, 4) if wall_s else 0.0,
        num_untold=sum(each.lease is not None and each.lease not in leases for each in told),
    )


def attempts(
    record: RunRecord, events: Sequence[Event], times: Sequence[AttemptTimes], *, until: datetime
) -> list[Attempt]:
    """The attempts of a run with where their time went, in their order."""
    accounts = {each.lease: each for each in times}
    found = list(_spans(record, events, accounts, until=until))
    # Steps after the one that a later attempt began with were done again.
    steps_kept = [
        min((later.first_step for later in found[number + 1 :] if later.first_step is not None), default=None)
        for number in range(len(found))
    ]
    return [
        replace(attempt, seconds=_divided(attempt, accounts.get(attempt.lease or 0), kept))
        for attempt, kept in zip(found, steps_kept, strict=True)
    ]


def _spans(
    record: RunRecord, events: Sequence[Event], accounts: Mapping[int, AttemptTimes], *, until: datetime
) -> Iterator[Attempt]:
    """When attempts began and ended. A driver that was killed tells no end: then the last that is known of it is."""
    going: Attempt | None = Attempt(record.started_at, record.started_at)
    last = record.started_at
    for event in events:
        match event.kind:
            case "started" if going is not None:
                if going.lease is not None:  # a trial that was started again: it has no driver to tell of it
                    yield replace(going, ended_at=max(last, _last_sign(going, accounts)), end="died")
                    going = Attempt(event.at, event.at)
                facts = event.fields
                going = replace(going, lease=facts["lease"], ready_at=event.at, first_step=facts.get("first_step"))
            case "restarted" | "stopped" | "failed" if going is not None:
                yield replace(going, ended_at=event.at, end=event.kind, reason=str(event.fields.get("reason", "")))
                going = Attempt(event.at, event.at) if event.kind == "restarted" else None
            case "continued":
                if going is not None:
                    yield replace(going, ended_at=max(last, _last_sign(going, accounts)), end="died")
                going = Attempt(event.at, event.at)
        last = event.at
    if going is not None:
        has_ended = record.ended_at is not None and record.ended_at >= going.began_at
        end = record.ended_at if has_ended and record.ended_at else max(last, until, _last_sign(going, accounts))
        yield replace(going, ended_at=end, end="failed" if record.phase == "failed" else "")


def _last_sign(attempt: Attempt, accounts: Mapping[int, AttemptTimes]) -> datetime:
    account = accounts.get(attempt.lease or 0)
    return attempt.began_at if account is None else account.until


def _divided(attempt: Attempt, account: AttemptTimes | None, kept_step: int | None) -> dict[Category, float]:
    """Where an attempt's time went. What it did not account for is lost with it, or else closing."""
    seconds: dict[Category, float] = dict.fromkeys(get_args(Category), 0.0)
    whole = (attempt.ended_at - attempt.began_at).total_seconds()
    if attempt.ready_at is None:
        return {**seconds, "start_up": whole}
    seconds["start_up"] = (attempt.ready_at - attempt.began_at).total_seconds()
    if account is not None:
        done = account.seconds.get("steps", 0.0)
        seconds["steps"] = _kept(account, kept_step)
        seconds["lost"] = done - seconds["steps"]
        for activity in ("data", "checkpoint", "evaluation"):
            seconds[activity] = account.seconds.get(activity, 0.0)
    # Below zero only where the clocks of two machines differ.
    rest = max(0.0, whole - sum(seconds.values()))
    seconds["other" if attempt.kept_all else "lost"] += rest
    return seconds


def _kept(account: AttemptTimes, kept_step: int | None) -> float:
    """Seconds of the steps that a later attempt did not have to do again."""
    done = account.seconds.get("steps", 0.0)
    if kept_step is None or kept_step >= account.step:
        return done
    return max((saved.steps_s for saved in account.saved if saved.step <= kept_step), default=0.0)
