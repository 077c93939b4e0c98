"""What does an endpoint keep to while it is under load? Beside `serving.py`, which asks how fast it is.

saturation   Two minutes of 32 clients: what fails, and how much memory its processes have at each quarter.
promotion    A version is promoted while 8 clients ask: what fails, and how soon after it was loaded it first answers.
killed       One of two replicas is killed while 16 clients ask: what fails, and what they are told.
streams      SmolLM2, chat: tokens a second of 8 streams at once and of one, and the time to the first token; beside
             `transformers serve` with continuous batching and 64 blocks (its default took 10.6 GB).

    python bench/serving_under_load.py                       # all, some 8 minutes on two cores
    python bench/serving_under_load.py --parts promotion killed
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench import turns
from bench.serving import (
    CLIENTS,
    DOCUMENT,
    PORT,
    SCRIPTS,
    descendants,
    environment,
    load,
    prepare,
    served,
    told,
    wait_for_port,
)

WRITER = DOCUMENT.with_name("causal-lm-lora-cpu.yaml")
NUM_TOKENS = 32


def main() -> None:
    arguments = _arguments()
    figures: dict[str, dict[str, list[float]]] = {}
    raw: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="eagleray-bench-") as scratch:
        directory = Path(arguments.directory or scratch).resolve()
        if arguments.parts != ["streams"]:
            prepare(directory)
        for part in arguments.parts:
            if part == "streams":
                figures = streams(directory, arguments)
                continue
            raw[part] = PARTS[part](directory, arguments)
    turns.finish(__file__, figures, arguments, **raw)


def saturation(directory: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """As much as it can take, for long."""
    with served("onnx-int8", directory) as process:
        load(directory, "short", clients=CLIENTS, seconds=5)
        memory, rows = [_memory_mb(process.pid)], []
        for _ in range(4):
            rows.append(load(directory, "short", clients=CLIENTS, seconds=arguments.seconds // 4))
            memory.append(_memory_mb(process.pid))
            print(f"saturation: {told(rows[-1])}; MB: {_listed(memory[-1])}", flush=True)
    failed = sum(row["failed"] for row in rows)
    grown = {name: memory[-1][name] - memory[0][name] for name in memory[0]}
    print(f"saturation: {failed:.0f} failed; MB more than at first: {_listed(grown)}", flush=True)
    return {"failed": failed, "memory_mb": memory, "rows": rows}


def promotion(directory: Path, _: argparse.Namespace) -> dict[str, Any]:
    """From version 1 to 2 and, as nobody may wait for the watch to end, no further."""
    _second(directory)
    with served("onnx-fp32", directory), _asked(8) as asked:
        _eagleray(directory, "models", "promote", "demo@2")
        deadline = time.monotonic() + 120
        while 2 not in asked.first and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(5)
    loaded = _loaded_at(directory)
    after_s = asked.first.get(2, float("inf")) - loaded
    print(
        f"promotion: {asked.failed} failed of {asked.num}; the first answer came {after_s:.2f} s after the version was "
        f"loaded (at most 3)",
        flush=True,
    )
    _eagleray(directory, "models", "promote", "demo@1")
    return {"failed": asked.failed, "first_answer_s": after_s}


def killed(directory: Path, _: argparse.Namespace) -> dict[str, Any]:
    """SIGKILL for one of two replicas."""
    with served("onnx-fp32", directory) as process, _asked(16) as asked:
        time.sleep(3)
        victim = next(pid for pid, name in descendants(process.pid).items() if "ServeReplica:eagleray:Replica" in name)
        os.kill(victim, signal.SIGKILL)
        time.sleep(15)
    told_to = f"{asked.num_told_when} of them with Retry-After"
    print(f"killed: {asked.failed} failed of {asked.num}, {told_to}: {dict(asked.statuses)}", flush=True)
    return {"failed": asked.failed, "with_retry_after": asked.num_told_when, "asked": asked.num}


def streams(directory: Path, arguments: argparse.Namespace) -> Any:
    """A language model, beside `transformers serve`, which has the base without the adapter."""
    run = ("train", str(WRITER), "--quiet", "--set", "train.max_steps=2", "--set", "scale.num_workers=1")
    if not (directory / "storage" / "models" / "library-desk").exists():
        for words in (run, ("register", "library-desk"), ("models", "promote", "library-desk@1")):
            _eagleray(directory, *words)
    reading_s = _reading_s(directory)

    def ours(number: int) -> dict[str, float]:
        with served("torch", directory, "--set", "endpoint.replicas={min: 1, max: 1, cpus: 2}", model="library-desk"):
            return {**_streamed("library-desk"), "reading_s": reading_s}

    def peer(number: int) -> dict[str, float]:
        with _transformers_serve(directory) as model:
            return _streamed(model)

    return turns.take({"ours": ours, "transformers": peer}, rounds=arguments.rounds)


def _streamed(model: str) -> dict[str, float]:
    _stream(0, model)
    _tokens_per_s(8, model)  # the first of so many may allocate and compile
    return {"one_per_s": _tokens_per_s(1, model), "eight_per_s": _tokens_per_s(8, model), **_first_token(model)}


@contextmanager
def _transformers_serve(directory: Path) -> Iterator[str]:
    """Serve SmolLM2 in fp32; yields by which name it is asked for."""
    from eagleray.model import gguf
    from eagleray.spec.document import load as read
    from eagleray.store.sources import resolve

    base = str(gguf.converted(Path(resolve(read(WRITER).document.spec.model.source))))
    wait_for_port()
    command = [str(SCRIPTS / "transformers"), "serve", base, "--continuous-batching", "--cb-num-blocks", "64"]
    command += ["--device", "cpu", "--dtype", "float32", "--host", "127.0.0.1", "--port", str(PORT)]
    environ = {**environment(directory), "HF_HUB_OFFLINE": "1"}
    with (directory / "transformers.log").open("wb") as log:
        process = subprocess.Popen(command, env=environ, stdout=log, stderr=log, start_new_session=True)
    try:
        deadline = time.monotonic() + 180
        while time.monotonic() < deadline and process.poll() is None and not _is_up():
            time.sleep(0.5)
        yield base
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _is_up() -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{PORT}/health", timeout=5):
            return True
    except OSError:
        return False


PARTS = {"saturation": saturation, "promotion": promotion, "killed": killed, "streams": streams}


class _Asked:
    """What clients saw that asked all the time."""

    def __init__(self) -> None:
        self.statuses: Counter[int] = Counter()
        self.first: dict[int, float] = {}  # when a version first answered, in seconds since 1970
        self.num_told_when = 0  # failures that say when to try again
        self.may_go_on = True

    @property
    def num(self) -> int:
        return self.statuses.total()

    @property
    def failed(self) -> int:
        return self.num - self.statuses[200]

    def ask(self) -> None:
        body = json.dumps({"inputs": "a joy to watch, and a film that knows what it is about"})
        connection = HTTPConnection("127.0.0.1", PORT, timeout=30)
        while self.may_go_on:
            try:
                connection.request("POST", "/v1/predict", body, {"Content-Type": "application/json"})
                answer = connection.getresponse()
                found = json.loads(answer.read())
            except (OSError, HTTPException, ValueError):
                self.statuses[0] += 1
                connection.close()
                continue
            self.statuses[answer.status] += 1
            if answer.status == 200:
                self.first.setdefault(found["version"], time.time())
            elif answer.headers["retry-after"] is not None:
                self.num_told_when += 1
        connection.close()


@contextmanager
def _asked(num_clients: int) -> Iterator[_Asked]:
    asked = _Asked()
    threads = [threading.Thread(target=asked.ask) for _ in range(num_clients)]
    for thread in threads:
        thread.start()
    try:
        yield asked
    finally:
        asked.may_go_on = False
        for thread in threads:
            thread.join()


def _second(directory: Path) -> None:
    """A second version, of a run of its own."""
    if (directory / "storage" / "models" / "demo" / "versions" / "000002").exists():
        return
    _eagleray(
        directory, "train", str(DOCUMENT), "--quiet", "--set", "train.max_steps=20", "--set", "data.max_length=256"
    )
    _eagleray(directory, "register", "demo")


def _loaded_at(directory: Path) -> float:
    """When every replica had version 2 in memory."""
    from eagleray.store import rollouts
    from eagleray.store.objects import open_storage

    objects = open_storage(str(directory / "storage"), must_exist=True)
    records = rollouts.history(objects, "demo", "champion")
    return max(record.at.timestamp() for record in records if record.phase == "shifting" and record.candidate == 2)


def _eagleray(directory: Path, *words: str) -> None:
    subprocess.run([SCRIPTS / "eagleray", *words], check=True, env=environment(directory), stdout=subprocess.DEVNULL)


def _stream(number: int, model: str) -> tuple[float, list[float]]:
    """When a stream was asked for, and when each of its pieces came."""
    asked = {
        "model": model,
        "messages": _messages(number),
        "stream": True,
        "temperature": 0,
        "max_tokens": NUM_TOKENS,
    }
    connection = HTTPConnection("127.0.0.1", PORT, timeout=120)
    began, times = time.perf_counter(), []
    connection.request("POST", "/v1/chat/completions", json.dumps(asked), {"Content-Type": "application/json"})
    answer = connection.getresponse()
    if answer.status != 200:
        raise SystemExit(answer.read().decode())
    for line in answer:
        choices = json.loads(line[6:]).get("choices") if line.startswith(b"data: {") else None
        if choices and choices[0]["delta"].get("content"):
            times.append(time.perf_counter())
    connection.close()
    return began, times


def _messages(number: int) -> list[dict[str, str]]:
    return [{"role": "user", "content": f"Tell me of book {number}, and of those beside it."}]


def _reading_s(directory: Path) -> float:
    """How long the model alone takes for a prompt, with as many threads."""
    import torch

    from eagleray.serving import loaded
    from eagleray.spec.endpoint import TorchBackendSpec

    files = directory / "storage" / "models" / "library-desk" / "versions" / "000001" / "files"
    model = loaded.load(files, backend=TorchBackendSpec(type="torch"), num_threads=2)
    ids = torch.tensor([sample["input_ids"] for sample in model.encode([{"messages": _messages(99)}])])
    times = []
    with torch.inference_mode():
        for _ in range(7):
            began = time.perf_counter()
            model.trained.model(input_ids=ids, use_cache=True, logits_to_keep=1)
            times.append(time.perf_counter() - began)
    return median(times[2:])


def _tokens_per_s(num: int, model: str) -> float:
    with ThreadPoolExecutor(num) as pool:
        began = time.perf_counter()
        found = list(pool.map(lambda number: _stream(number, model), range(num)))
    return sum(len(times) for _, times in found) / (time.perf_counter() - began)


def _first_token(model: str) -> dict[str, float]:
    """Seconds to the first piece of an idle server, and from one piece to the next."""
    began, times = _stream(99, model)
    steps = [after - before for before, after in pairwise(times)]
    return {"first_s": times[0] - began, "step_s": median(steps)}


def _memory_mb(root: int) -> dict[str, float]:
    """Resident memory by role."""
    roles = {"replicas": "ServeReplica:eagleray:Replica", "proxy": "ProxyActor", "controller": "ServeController"}
    found = dict.fromkeys(roles, 0.0)
    for pid, command in descendants(root).items():
        for role, part in roles.items():
            if part in command:
                pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
                found[role] += pages * os.sysconf("SC_PAGE_SIZE") / 2**20
    return found


def _listed(figures: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.0f}" for name, value in figures.items())


def _arguments() -> argparse.Namespace:
    parser = turns.parser(__doc__, rounds=3)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--seconds", type=int, default=120, help="of `saturation`")
    parser.add_argument("--directory", default="", help="keep models and texts there")
    return parser.parse_args()


if __name__ == "__main__":
    main()
