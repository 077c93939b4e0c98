"""How are the steps between rows and samples printed? As lines below the table of a data report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from eagleray.data.steps import AugmentReport, BalanceReport, StepsReport, TextSample


def lines(report: StepsReport) -> Iterator[str]:
    """Yield the lines, an empty one before each part; none where nothing was done."""
    yield from _changes(report)
    yield from _drops(report)
    if report.few_shot:
        yield from ("", "drawn (train): " + _listed(report.few_shot))
    if report.balance is not None:
        yield from _balance(report.balance)
    if report.augment is not None:
        yield from _augment(report.augment)
    if report.languages:
        yield from ("", "languages")
        yield from (f"  {split:<12} {_listed(counts)}" for split, counts in report.languages.items())


def _changes(report: StepsReport) -> Iterator[str]:
    if report.changes:
        yield from ("", "texts changed (rows)")
    for change in report.changes:
        yield f"  {change.step:<12} {_listed(change.rows)}"
        yield from _sample(change.samples)


def _drops(report: StepsReport) -> Iterator[str]:
    if report.drops:
        yield from ("", "not learned from (rows)")
    for drop in report.drops:
        yield f"  {drop.split} {drop.rows:,}: {drop.reason}"
        yield from (f"      {_one_line(sample)}" for sample in drop.samples[:1])


def _balance(balance: BalanceReport) -> Iterator[str]:
    yield from ("", f"balanced by {balance.by} (rows of an epoch)")
    for name, before in balance.before.items():
        yield f"  {name or '(none)':<12} {before:>10,} -> {balance.after.get(name, 0):,}"


def _augment(augment: AugmentReport) -> Iterator[str]:
    yield ""
    left_out = f"; {augment.unchanged:,} came out unchanged and were left out" if augment.unchanged else ""
    yield f"changed copies (train): {augment.copies:,} ({_listed(augment.by_step)}){left_out}"
    yield from _sample(augment.samples)


def _sample(samples: tuple[TextSample, ...]) -> Iterator[str]:
    for sample in samples[:1]:
        yield f"      {sample.place}"
        yield f"      - {_one_line(sample.before)}"
        yield f"      + {_one_line(sample.after)}"


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name or '(none)'} {rows:,}" for name, rows in counts.items())


def _one_line(text: str) -> str:
    """A text as it can be shown: what is not seen becomes visible."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)
