"""How long do commands take that find little to do?

help       `eagleray --help`
plan       `eagleray plan` of a local model, its data tokenised already
idle       `eagleray up --until promote` once all of it is done: nothing needs Ray
serving    `eagleray up` once all but the endpoint is there: from the command until a real request is answered
floor      the least for the last one: the imports, `ray.init`, `serve.run` of an application that answers nothing

Medians of rounds in which each runs once.

    python bench/commands.py               # five minutes on two cores
    python bench/commands.py --rounds 1
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from bench import turns

DOCUMENT = ROOT / "jobs" / "pipelines" / "film-sentiment.yaml"
EAGLERAY = str(Path(sys.executable).parent / "eagleray")
SETTINGS = ("sweep=null", "train.max_steps=20", "train.baselines=false", "promote.when=null")
ANSWERED = "verify     done"
BOUNDS = {"help": 0.5, "plan": 5.0, "idle": 3.0}
LARGEST_RATIO = 1.3


def main() -> None:
    arguments = _arguments()
    if arguments.floor:
        floor()
        return
    rounds: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory(prefix="eagleray-bench-") as scratch:
        commands = _commands(Path(scratch))
        _until_end([*commands["serving"], "--until", "promote"], Path(scratch))
        for number in range(1, arguments.rounds + 1):
            rounds.append({name: _seconds(name, command, Path(scratch)) for name, command in commands.items()})
            print(f"round {number}: {', '.join(f'{name} {value:.2f} s' for name, value in rounds[-1].items())}")
    medians = {name: median(each[name] for each in rounds) for name in rounds[0]}
    for name, bound in BOUNDS.items():
        print(f"{name}: {medians[name]:.2f} s (at most {bound:g})")
    ratio = medians["serving"] / medians["floor"]
    print(f"serving: {medians['serving']:.1f} s, floor {medians['floor']:.1f} s: {ratio:.2f} (at most {LARGEST_RATIO})")
    figures = {name: {"seconds": [each[name] for each in rounds]} for name in medians}
    turns.finish(__file__, figures, arguments)


def floor() -> None:
    """Import what an endpoint imports, start Ray and serve nothing."""
    import ray
    import torch
    import transformers
    from ray import serve
    from starlette.responses import PlainTextResponse

    assert torch and transformers

    @serve.deployment
    class Nothing:
        """Answers nothing."""

        async def __call__(self, request: object) -> PlainTextResponse:
            return PlainTextResponse("")

    ray.init(address="local", log_to_driver=False)
    serve.start(http_options={"host": "127.0.0.1", "port": 8732})
    serve.run(Nothing.bind())
    print(ANSWERED, flush=True)
    serve.shutdown()
    ray.shutdown()


def _commands(scratch: Path) -> dict[str, list[str]]:
    settings = [word for each in SETTINGS for word in ("--set", each)]
    rest = [str(DOCUMENT), "--storage", str(scratch / "storage"), *settings]
    return {
        "help": [EAGLERAY, "--help"],
        "plan": [EAGLERAY, "plan", *rest],
        "idle": [EAGLERAY, "up", *rest, "--until", "promote"],
        "serving": [EAGLERAY, "up", *rest],
        "floor": [sys.executable, __file__, "--floor"],
    }


def _seconds(name: str, command: list[str], scratch: Path) -> float:
    if name not in ("serving", "floor"):
        return _until_end(command, scratch)
    return _until_answered(command, scratch)


def _until_end(command: list[str], scratch: Path) -> float:
    started = time.perf_counter()
    done = subprocess.run(command, env=_environment(scratch), capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr[-4000:]}")
    return time.perf_counter() - started


def _until_answered(command: list[str], scratch: Path) -> float:
    """Seconds until it says that it answers; then it is interrupted, and waited for."""
    started, said = time.perf_counter(), []
    with subprocess.Popen(
        command, env=_environment(scratch), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            said.append(line)
            if line.startswith(ANSWERED):
                break
        else:
            sys.exit(f"{' '.join(command)} ended:\n{''.join(said)[-4000:]}")
        seconds = time.perf_counter() - started
        process.send_signal(signal.SIGINT)
        process.stdout.read()
    return seconds


def _environment(scratch: Path) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    return inherited | {"EAGLERAY_CACHE": str(scratch / "cache"), "RAY_USAGE_STATS_ENABLED": "0"}


def _arguments() -> argparse.Namespace:
    parser = turns.parser(__doc__, rounds=3)
    parser.add_argument("--floor", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
