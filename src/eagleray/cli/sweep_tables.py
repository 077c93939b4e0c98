"""The trials of a sweep as a table for people, the best first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from eagleray.cli.printing import number
from eagleray.store import draws, ranking, sweeps

if TYPE_CHECKING:
    from eagleray.store.runs import RunRecord
    from eagleray.store.sweeps import Sweep, Trial

SHOWN_TRIALS = 20


def trials_table(sweep: Sweep, ordered: Sequence[Trial], *, going: frozenset[int], shown: int = SHOWN_TRIALS) -> Table:
    """A trial a row: those that go on, then the best, then the others, as many as there is room for."""
    by = ranking.primary(sweep.objectives).metric if sweep.objectives else "metric"
    table = Table(box=None, pad_edge=False)
    table.add_column("trial", justify="right", no_wrap=True)
    table.add_column("parameters", overflow="fold", min_width=len("parameters"))
    table.add_column(by, justify="right", no_wrap=True)
    table.add_column("step", justify="right", no_wrap=True)
    table.add_column("state", no_wrap=True)
    table.add_column("takes", no_wrap=True)
    table.add_column("left", justify="right", no_wrap=True)
    rows = _sorted(sweep, ordered, going)
    for trial in rows[:shown]:
        state = trial.state if trial.number in going or trial.state in sweeps.ENDED else "waiting"
        is_going = state == "running"
        table.add_row(
            str(trial.number),
            Text(params_text(trial.params)),  # a list is no markup
            number(_value(trial, sweep)),
            f"{trial.step}/{sweep.total_steps}",
            f"{state}, best" if ordered and trial is ordered[0] else state,
            f"{sweep.num_devices:g} {sweep.device}" if is_going else "",
            _left(trial, sweep) if is_going else "",
        )
    return table


def facts(record: RunRecord, sweep: Sweep) -> Iterator[str]:
    """Yield lines that sum a sweep up."""
    counts = Counter(trial.state for trial in sweep.trials)
    states = ", ".join(f"{count} {state}" for state, count in counts.items())
    whole = sweep.total_steps * len(sweep.trials)
    share = f", {sweep.num_steps / whole:.0%} of what all trials to their end take" if whole else ""
    yield f"{record.run} ({record.phase}): {len(sweep.trials)} trials: {states or 'none'}"
    yield f"{sweep.num_steps} steps{share}; {sweep.device_hours:.2g} {sweep.device}-hours"
    for spread in draws.spreads(sweep):
        by = ranking.primary(sweep.objectives).metric
        yield (
            f"{params_text(spread.params) or 'few shot'}: {by} {spread.mean:.4f} ± {spread.deviation:.4f} "
            f"over {spread.draws} draws"
        )
    if len(sweep.trials) > SHOWN_TRIALS:
        command = f"eagleray sweep show {record.run}"
        yield f"the table has {SHOWN_TRIALS} of {len(sweep.trials)} trials: `{command} --json` has all"
    if sweep.end_reason:
        yield f"ended: {sweep.end_reason}"
    if record.error:
        yield f"error: {record.error}"


def params_text(params: Any) -> str:
    """`learning_rate=0.0003 rank=8`: the last part of each key, where that is enough to know it."""
    named = {key: key if '"' in key else key.rpartition(".")[2] for key in params}
    lasts = Counter(named.values())
    return " ".join(
        f"{named[key] if lasts[named[key]] == 1 else key}={_value_text(value)}" for key, value in params.items()
    )


def _value_text(value: Any) -> str:
    """A value as it stands in a document."""
    match value:
        case bool():
            return str(value).lower()
        case float():
            return number(value)
        case list() | tuple():
            return f"[{', '.join(map(str, value))}]"
    return str(value)


def _sorted(sweep: Sweep, ordered: Sequence[Trial], going: frozenset[int]) -> list[Trial]:
    place = {trial.number: position for position, trial in enumerate(ordered)}
    return sorted(
        sweep.trials,
        key=lambda trial: (trial.number not in going, place.get(trial.number, len(place)), trial.number),
    )


def _value(trial: Trial, sweep: Sweep) -> float | None:
    found = ranking.values(trial, sweep.objectives)
    return found[0] if found else None


def _left(trial: Trial, sweep: Sweep) -> str:
    """The time that a trial has to its end at the speed of its last life."""
    life = trial.lives[-1] if trial.lives else None
    if life is None or life.step <= life.first_step:
        return ""
    seconds = (sweep.total_steps - life.step) * life.seconds / (life.step - life.first_step)
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"
