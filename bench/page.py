"""How are results shown? As a table between two marks of docs/benchmarks.md, and raw in docs/benchmarks.json."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.figures import Demand, Found, find, is_met, is_settled
from bench.plot import svg
from bench.results import Result, parse, plain
from bench.rows import Row

BEGIN, END = "<!-- begin: make bench -->", "<!-- end: make bench -->"
MISSED = "**missed**"
HEAD = (
    "| | against | found | rounds | demanded | |",
    "|---|---|---|---|---|---|",
)


def table(rows: tuple[Row, ...], results: Mapping[str, Result]) -> str:
    """A line a demand, below a line for what the row runs on."""
    return "\n".join([*HEAD, *(line for row in rows for line in _lines(row, results.get(row.name)))])


def missed(rows: tuple[Row, ...], results: Mapping[str, Result]) -> list[str]:
    """What was run and is judged not to be what was demanded."""
    return [
        f"{row.name}: {demand.against}"
        for row in rows
        if (result := results.get(row.name))
        for demand in row.demands
        if (found := find(demand, result.figures)) and _verdict(demand, found, result) == MISSED
    ]


def fill(text: str, shown: str) -> str:
    """The page with the table in its place. Raises ValueError where the page has no place for it."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"docs/benchmarks.md has no {BEGIN} … {END}: put both lines where the table is to stand")
    return f"{before}{BEGIN}\n{shown}\n{END}{after}"


def whole(rows: tuple[Row, ...], results: Mapping[str, Result]) -> str:
    """What stands between the marks."""
    machines = sorted({result.fingerprint.told for result in results.values()})
    told = "\n".join(f"On {each}." for each in machines)
    where = f"{told}\nEach row says of which commit it is; every raw figure is in [benchmarks.json](benchmarks.json)."
    plots = "".join(f"\n![{row.title}](growth/{row.name}.svg)" for row in grown(rows, results))
    return f"{where}\n\n{table(rows, results)}\n{plots}".rstrip("\n")


def grown(rows: tuple[Row, ...], results: Mapping[str, Result]) -> list[Row]:
    """The rows that have a plot: those that were asked at several sizes."""
    return [row for row in rows if row.name in results and "size" in results[row.name].figures.get("ours", {})]


def draw(folder: Path, rows: tuple[Row, ...], results: Mapping[str, Result]) -> None:
    """One plot each."""
    for row in grown(rows, results):
        folder.mkdir(exist_ok=True)
        found = results[row.name].figures["ours"]
        text = svg(row.name.replace("growth-", "seconds by "), found["size"], found["seconds"])
        (folder / f"{row.name}.svg").write_text(text, encoding="utf-8")


def load(path: Path) -> dict[str, Result]:
    """The results of the committed JSON."""
    if not path.exists():
        return {}
    kept: dict[str, dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["rows"]
    return {name: parse(fields) for name, fields in kept.items()}


def dump(path: Path, rows: tuple[Row, ...], results: Mapping[str, Result]) -> None:
    """In the order of the rows; what is no row any more is left out."""
    kept = {row.name: plain(results[row.name]) for row in rows if row.name in results}
    path.write_text(json.dumps({"rows": kept}, indent=1) + "\n", encoding="utf-8")


def _lines(row: Row, result: Result | None) -> list[str]:
    link = f"[{row.title}](#{row.section})" if row.section else row.title
    head = f"| **{link}** | {row.data}; threads: {row.threads}; {row.backend} |"
    if result is None:
        return [f"{head} not run in this form | | | |", *(_line(demand, "", "", "") for demand in row.demands)]
    where = f"load {result.load:.1f}, at `{result.commit[:7]}`"
    return [f"{head} {where} | | | |", *(_judged(demand, result) for demand in row.demands)]


def _judged(demand: Demand, result: Result) -> str:
    found = find(demand, result.figures)
    if found is None:
        return _line(demand, "not run", "", "")
    rounds = "one" if found.low == found.high else f"{_number(found.low)} to {_number(found.high)}"
    return _line(demand, _number(found.value), rounds, _verdict(demand, found, result))


def _verdict(demand: Demand, found: Found, result: Result) -> str:
    if demand.bound == "told":
        return ""
    if found.low == found.high and result.load > result.fingerprint.cores:
        return "not judged: one round beside other work"
    if not is_settled(demand, found):
        return "not judged: the rounds disagree"
    return "reached" if is_met(demand, found) else MISSED


def _line(demand: Demand, value: str, rounds: str, verdict: str) -> str:
    against = f"limit: {demand.against}" if demand.is_limit else demand.against
    return f"| | {against} | {value} | {rounds} | {demand.bound} | {verdict} |"


def _number(value: float) -> str:
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}" if abs(value) >= 0.1 else f"{value:.3f}"
