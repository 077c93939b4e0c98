"""What does every benchmark's script need? To take turns, to run commands, and to hand its figures on."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median
from typing import Any, NoReturn

from bench import figures as judging
from bench.figures import Figures
from bench.results import fingerprint
from bench.rows import ROWS

Taker = Callable[[int], Mapping[str, float]]
"""Takes a round of this number; returns its figures by quantity."""
SKIPPED = 77
"""The exit status of a script for which the machine lacks something, as that of a test by automake."""
QUIET = {
    "DS_ACCELERATOR": "cpu",
    "DS_IGNORE_CUDA_DETECTION": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_worker_niceness": "0",
}
"""Of all sides alike: no search for a CUDA compiler when DeepSpeed is imported, no usage statistics, and workers of Ray
that do not give way to whatever else the machine does (Ray starts them with a niceness of 15)."""


def parser(doc: str | None, *, rounds: int | None = None) -> argparse.ArgumentParser:
    """With the options that every script has."""
    made = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    if rounds is not None:
        made.add_argument("--rounds", type=int, default=rounds, help="default: %(default)s")
    made.add_argument("--json", type=Path, metavar="FILE", help="write every figure there")
    return made


def skip(reason: str) -> NoReturn:
    """End the script where it has nothing to measure on this machine; the reason is its last line."""
    print(reason, file=sys.stderr)
    sys.exit(SKIPPED)


def hush() -> None:
    """No warnings of processes that are started from now on: DeepSpeed calls torch by its older names."""
    os.environ["PYTHONWARNINGS"] = "ignore"


def take(contenders: Mapping[str, Taker], *, rounds: int) -> Figures:
    """Call each in turn, round after round (A B A B …), with the number of the round."""
    found: dict[str, dict[str, list[float]]] = {name: {} for name in contenders}
    for number in range(1, rounds + 1):
        for name, measure in contenders.items():
            told = measure(number)
            for quantity, value in told.items():
                found[name].setdefault(quantity, []).append(value)
            shown = ", ".join(f"{quantity} {value:.4g}" for quantity, value in told.items())
            print(f"round {number}, {name}: {shown}", flush=True)
    return found


def finish(script: str, figures: Figures, arguments: argparse.Namespace, **raw: Any) -> None:
    """Print the medians and what is demanded of them, and write all of it to `--json`."""
    print(f"\n{fingerprint().told}\n")
    for name, quantities in figures.items():
        shown = ", ".join(f"{quantity} {median(values):.4g}" for quantity, values in quantities.items())
        print(f"{name:<14} {shown}")
    print()
    said = set()
    for demand in (demand for row in ROWS if row.script == Path(script).stem for demand in row.demands):
        found = judging.find(demand, figures)
        if found is None or demand in said:
            continue
        said.add(demand)
        print(f"{demand.against}: {found.value:.3f}, {found.low:.3f} to {found.high:.3f} ({demand.bound})")
    if arguments.json:
        arguments.json.write_text(json.dumps({"figures": figures, "raw": raw}, indent=1, default=str), encoding="utf-8")


def run(command: list[str], log: Path, *, environment: Mapping[str, str], cwd: Path | None = None) -> float:
    """Run a command to its end, its output in `log`; returns when it was started. Ends the script where it fails."""
    log.parent.mkdir(parents=True, exist_ok=True)
    inherited = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    with log.open("wb") as stream:
        started = time.time()
        done = subprocess.run(
            command,
            cwd=cwd,
            env=inherited | QUIET | dict(environment),
            stdout=stream,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if done.returncode:
        sys.exit(f"{' '.join(command)} ended with {done.returncode}:\n{log.read_text(encoding='utf-8')[-4000:]}")
    return started
