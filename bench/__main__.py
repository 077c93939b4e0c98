"""Run the benchmarks row by row, and write docs/benchmarks.json and the table of docs/benchmarks.md.

A row that was run to its end on this machine, with these versions and this source, is not run again; so what was
interrupted goes on where it was. A row for which this machine lacks something is skipped, with its reason. They want
the machine for themselves.

    make bench                                  # all that is missing, planned for under three hours
    make bench-quick                            # is it as it was? planned for under eight minutes, writes no docs
    python -m bench --list
    python -m bench --only train startup --rounds 1
    python -m bench --again train               # although it is there
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from bench import page, results, turns
from bench.results import ROOT, Result
from bench.rows import ROWS, Row

DOCS = ROOT / "docs"
RESULTS = ROOT / "bench" / "results"
Runs = Callable[[list[str], Path], int]
"""Runs a command with its output in a file; returns its exit status."""


@dataclass(frozen=True, slots=True)
class Skipped:
    """A row that this machine cannot run."""

    reason: str


@dataclass(frozen=True, slots=True)
class Order:
    """What is asked for."""

    rows: tuple[Row, ...]
    again: frozenset[str] = frozenset()
    rounds: int | None = None
    is_quick: bool = False


def main() -> int:
    arguments = _arguments()
    if arguments.list:
        print(listed(ROWS))
        return 0
    wanted = {*arguments.only, *arguments.again}
    fitting = (row for row in ROWS if row.quick is not None or not arguments.quick)
    rows = tuple(row for row in fitting if not wanted or row.name in wanted)
    order = Order(rows, frozenset(arguments.again), arguments.rounds, arguments.quick)
    folder = RESULTS / "quick" if arguments.quick else RESULTS
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a row that is left alone would go on
    try:
        failed = work(order, folder, run=run)
    except KeyboardInterrupt:
        print("\ninterrupted: what was finished is kept, the next call goes on from there", file=sys.stderr)
        failed = None
    show(order, folder)
    return 130 if failed is None else int(bool(failed))


def work(order: Order, folder: Path, *, run: Runs) -> list[str]:
    """Run what is missing; returns the rows that failed."""
    here, there, failed = results.fingerprint(), holding(order, folder), []
    for row in order.rows:
        if row.name in there and row.name not in order.again:
            print(f"{row.name}: there already, of {there[row.name].at}", flush=True)
            continue
        print(f"{row.name}: {row.title}, some {row.quick_minutes if order.is_quick else row.minutes:g} min", flush=True)
        result = measured(row, command_of(row, order), folder, run=run, fingerprint=here)
        if isinstance(result, Skipped):
            print(f"{row.name}: skipped: {result.reason}", flush=True)
            continue
        if result is None:
            failed.append(row.name)
            print(f"{row.name}: FAILED, see {folder / row.name}.log", flush=True)
            continue
        results.write(folder, result)
        short = page.missed((row,), {row.name: result})
        print(f"{row.name}: {result.seconds / 60:.1f} min" + "".join(f"; missed {each}" for each in short), flush=True)
    return failed


def holding(order: Order, folder: Path) -> dict[str, Result]:
    """What was run and still holds: figures of an older source are none of this one."""
    here, measures, rows = results.fingerprint(), results.digest(), {row.name: row for row in (*ROWS, *order.rows)}
    return {
        name: result
        for name, result in results.read(folder).items()
        if name in rows and result.holds(command_of(rows[name], order), here, measures)
    }


def measured(
    row: Row, command: list[str], folder: Path, *, run: Runs, fingerprint: results.Fingerprint
) -> Result | Skipped | None:
    """Run one row; None where it fails or hands no figures on."""
    folder.mkdir(parents=True, exist_ok=True)
    out = folder / f"{row.name}.figures"
    out.unlink(missing_ok=True)
    script, load = results.digest(), os.getloadavg()[0]  # before it runs
    at, started = datetime.now(UTC), time.monotonic()
    log = folder / f"{row.name}.log"
    status = run([*command, "--json", str(out)], log)
    if status == turns.SKIPPED:
        return Skipped(log.read_text(encoding="utf-8").strip().rpartition("\n")[2])
    if status or not out.exists():
        return None
    told = json.loads(out.read_text(encoding="utf-8"))
    out.unlink()
    return Result(
        row=row.name,
        command=command,
        fingerprint=fingerprint,
        commit=results.commit(),
        at=at.isoformat(timespec="seconds"),
        seconds=round(time.monotonic() - started, 1),
        load=load,
        figures=told["figures"],
        raw=told["raw"],
        script=script,
    )


def command_of(row: Row, order: Order) -> list[str]:
    """Without the interpreter's path, which is another one on every machine."""
    arguments = row.quick if order.is_quick and row.quick is not None else row.arguments
    if order.rounds and row.has_rounds:
        at = arguments.index("--rounds") if "--rounds" in arguments else len(arguments)
        arguments = (*arguments[:at], "--rounds", str(order.rounds), *arguments[at + 2 :])
    return ["python", f"bench/{row.script}.py", *arguments]


def run(command: list[str], log: Path) -> int:
    """In a session of its own, so that a Ctrl-C ends the row with all that it has started."""
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [sys.executable, *command[1:]], cwd=ROOT, stdout=stream, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            return process.wait()
        except KeyboardInterrupt:
            os.killpg(process.pid, signal.SIGINT)
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            raise


def show(order: Order, folder: Path) -> None:
    """Print the table; unless it was quick, write it to the docs, with the rows that were committed before."""
    there = holding(order, folder)
    print(f"\n{page.table(order.rows, there)}")
    if order.is_quick or not there:
        return
    kept = page.load(DOCS / "benchmarks.json") | there
    page.dump(DOCS / "benchmarks.json", ROWS, kept)
    page.draw(DOCS / "growth", ROWS, kept)
    path = DOCS / "benchmarks.md"
    path.write_text(page.fill(path.read_text(encoding="utf-8"), page.whole(ROWS, kept)), encoding="utf-8")


def listed(rows: tuple[Row, ...]) -> str:
    """A line a row."""
    lines = [
        f"{row.name:<18}{row.minutes:>4g} min  {'quick  ' if row.quick is not None else '       '}{row.title}: "
        f"{row.data}; threads: {row.threads}; {row.backend}; against {', '.join(each.against for each in row.demands)}"
        for row in rows
    ]
    quick = sum(row.quick_minutes for row in rows if row.quick is not None)
    return "\n".join([*lines, f"all: {sum(row.minutes for row in rows):g} min, quick: {quick:g} min"])


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    choices = {"nargs": "+", "choices": [row.name for row in ROWS], "default": [], "metavar": "ROW"}
    parser.add_argument("--list", action="store_true", help="say which rows there are")
    parser.add_argument("--only", **choices, help="these rows alone")
    parser.add_argument("--again", **choices, help="these rows, although they are there")
    parser.add_argument("--rounds", type=int, help="instead of each row's own number")
    parser.add_argument("--quick", action="store_true", help="few rows, few rounds, nothing written to docs")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
