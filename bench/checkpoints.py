"""How long does training wait for a checkpoint, and how many bytes are written for one?

Waiting: MiniLM, every weight learning, ZeRO-2, in two gloo workers without Ray, against an S3 server that takes
`--rate` MB/s of all connections together. Three contenders take turns, round after round, each with a new run:

ours         `train.saving`, as a run has it: copies the state, uploads it beside training. The next checkpoint comes
             when this one has had twice the time that its bytes take at that rate, so that none waits for another.
synchronous  `save_checkpoint` of DeepSpeed on the same engine, then each rank uploads what it wrote with the same
             client, and all go on when all are done.
copy         as many bytes from this disk to it: what no checkpoint can be faster than that waits.
hurried      ours with a quarter of that time between checkpoints: more than the storage takes, so that the copy is
             made at once, but the upload before must end first. Told separately, as stall.

The clock runs from when all ranks have come to the checkpoint until all are done with it. What it leaves out is that
steps take longer while something is uploaded beside them, as hashing and sending take processor time: that is printed
as what it costs besides, by the median step with and without an upload under way.

Bytes: what the server received while `ours` trained, by the sum of the state shards and the exported weights. Beside
it, what Ray's RayTrainReportCallback with the Trainer of transformers sends to such a server for a checkpoint of the
same model, by the size of the checkpoint that is there in the end: two Ray Train workers on one machine, which copy
the same folder. Sharded (ZeRO-2), each finds all of it there. With DDP only the first worker writes the large files,
and the second, which has nothing to write, mostly has copied the folder before they are there.

    python bench/checkpoints.py                                              # three rounds, twelve minutes on two cores
    python bench/checkpoints.py --rounds 1 --rate 200 --checkpoints 1        # does it run? two minutes
    python bench/checkpoints.py --contenders ours synchronous --no-bytes-of-ray
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import multiprocessing
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))  # the gloo workers and the S3 server are those of the tests

from bench import peers, turns
from bench.peers import DOCUMENT
from tests.support import s3
from tests.support.gloo import GlooWorkers

CONTENDERS = ("ours", "synchronous", "hurried")
NUM_WORKERS = 2
NUM_WARMUP_STEPS = 3
STATE_BYTES = 4 * 4 * 22_713_986  # MiniLM: weights, two moments and the exported weights, fp32
INTERVALS = {"ours": 2.0, "synchronous": 0.25, "hurried": 0.25}
"""Time between checkpoints, by the time that the bytes of one take. What is synchronous has nothing to wait for."""
SHARDINGS = ("DDP", "ZeRO-2")


@dataclass(frozen=True, slots=True)
class Wait:
    """What one checkpoint held up, by the slowest rank."""

    stall_s: float  # until the upload before was done
    save_s: float  # the copy; of what is synchronous, `save_checkpoint`
    upload_s: float  # while training waits; 0 where it does not

    @property
    def blocked_s(self) -> float:
        return self.stall_s + self.save_s + self.upload_s


@dataclass(frozen=True, slots=True)
class Step:
    """One step between checkpoints."""

    seconds: float
    is_beside_upload: bool


@dataclass(frozen=True, slots=True)
class Turn:
    """What a contender did in one turn."""

    waits: list[Wait]
    steps: list[Step]
    num_sent_bytes: int  # to the storage, by the storage
    num_needed_bytes: int  # of all checkpoints: state shards and exported weights

    @property
    def blocked_s(self) -> float:
        """Median over the checkpoints."""
        return median(wait.blocked_s for wait in self.waits)

    @property
    def figures(self) -> dict[str, float]:
        """Medians over the checkpoints."""
        needed = {"sent_by_needed": self.num_sent_bytes / self.num_needed_bytes} if self.num_needed_bytes else {}
        stalls = {name: median(getattr(wait, name) for wait in self.waits) for name in Wait.__slots__}
        return {"blocked_s": self.blocked_s, **stalls, "slowed_s": self.slowed_s, **needed}

    @property
    def slowed_s(self) -> float:
        """What steps beside an upload take more than others, for one checkpoint."""
        beside = [step.seconds for step in self.steps if step.is_beside_upload]
        alone = [step.seconds for step in self.steps if not step.is_beside_upload]
        if not beside or not alone:
            return 0.0
        return (median(beside) - median(alone)) * len(beside) / len(self.waits)


@dataclass(frozen=True, slots=True)
class Order:
    """What a contender's workers are told."""

    contender: str
    job: dict[str, Any]  # the fields of a Job
    directory: str  # of this machine, for what `save_checkpoint` writes
    interval_s: float
    num_checkpoints: int


def main() -> None:
    arguments = _arguments()
    if arguments.ray:
        report_by_ray(*arguments.ray)
        return
    turns.hush()
    with slow_storage(arguments.rate) as storage, tempfile.TemporaryDirectory(prefix="eagleray-bench-") as scratch:
        os.environ.update(s3.environment(storage.endpoint))  # before the workers inherit it
        workers = GlooWorkers(NUM_WORKERS)
        rounds: dict[str, list[Turn]] = {name: [] for name in arguments.contenders}
        try:
            takers = {name: _taker(name, storage, workers, Path(scratch), arguments, rounds) for name in rounds}
            figures = turns.take({**takers, "copy": lambda number: copy(Path(scratch))}, rounds=arguments.rounds)
        finally:
            workers.close()
    bytes_of_ray = {} if arguments.no_bytes_of_ray else {name: count_bytes_of_ray(name) for name in SHARDINGS}
    for sharding, counted in bytes_of_ray.items():
        figures = {**figures, sharding: {"sent_by_kept": [counted["sent"] / counted["kept"]]}}
    told = {name: [asdict(turn) for turn in done] for name, done in rounds.items()}
    turns.finish(__file__, figures, arguments, rate=arguments.rate, turns=told, bytes_of_ray=bytes_of_ray)


def _taker(
    name: str,
    storage: SlowStorage,
    workers: GlooWorkers,
    scratch: Path,
    arguments: argparse.Namespace,
    rounds: dict[str, list[Turn]],
) -> Callable[[int], dict[str, float]]:
    def take(number: int) -> dict[str, float]:
        order = new_order(
            name,
            f"s3://{s3.new_bucket(storage.endpoint)}/runs",
            scratch,
            interval_s=INTERVALS[name] * STATE_BYTES / (arguments.rate * 1e6),
            num_checkpoints=arguments.checkpoints,
        )
        before = storage.num_received_bytes
        turn = workers.run(contend, order)[0]
        turn = replace(turn, num_sent_bytes=storage.num_received_bytes - before)
        rounds[name].append(turn)
        return turn.figures

    return take


def copy(scratch: Path) -> dict[str, float]:
    """`cp` of as many bytes to this disk, until they are on it."""
    source, target = scratch / "state", scratch / "copied"
    if not source.exists():
        source.write_bytes(os.urandom(2**20) * (STATE_BYTES // 2**20))
    started = time.perf_counter()
    with source.open("rb") as reads, target.open("wb") as writes:
        shutil.copyfileobj(reads, writes, 2**22)
        writes.flush()
        os.fsync(writes.fileno())
    return {"seconds": time.perf_counter() - started}


def new_order(name: str, storage: str, scratch: Path, *, interval_s: float, num_checkpoints: int) -> Order:
    """A new run on the storage, whose lease is taken."""
    from eagleray.spec.document import load
    from eagleray.store import lease, runs
    from eagleray.store.objects import open_storage
    from eagleray.train.assembly import Job

    overrides = (
        "data.validation.fraction=0.01",
        "data.test_fraction=null",
        "train.epochs=100",  # more than the checkpoints need
        "train.micro_batch_size=16",
        f"scale.num_workers={NUM_WORKERS}",
        "scale.zero.stage=2",
        "checkpoint.keep=1",
    )
    objects = open_storage(storage)
    lock = runs.LockRecord(versions={}, git_commit="", data_fingerprint="", seed=0, hardware={}, python="")
    run = runs.create(objects, name="bench", document="", lock=lock, now=_now()).run
    job = Job(
        document=load(DOCUMENT, overrides=list(overrides)).document.model_dump_json(),
        storage=storage,
        run=run,
        cache_dir=str(scratch / "cache"),
        lease=lease.take(objects, run, lease.this_process(), now=_now).number,
    )
    return Order(name, asdict(job), tempfile.mkdtemp(dir=scratch), interval_s, num_checkpoints)


def contend(group: Any, order: Order) -> Turn:
    """In a worker: train, and take so many checkpoints."""
    from eagleray.model import quiet
    from eagleray.train import stepping
    from eagleray.train.assembly import Job, assemble
    from eagleray.train.loading import Loader

    quiet.silence()
    waits: list[Wait] = []
    steps: list[Step] = []
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        job = Job(**order.job)
        built = assemble(job, group, loader=Loader(), scratch=scratch, mark=lambda doing: None, stack=stack)
        due_at = time.monotonic() + 1e9
        for report in stepping.steps(built, 0):
            built.recorder.step(report)
            built.saver.note(report)
            if report.step > NUM_WARMUP_STEPS:
                steps.append(Step(report.seconds, _is_uploading(built)))
            if report.step == NUM_WARMUP_STEPS:
                due_at = time.monotonic() + order.interval_s
            if not group.exchange(time.monotonic() >= due_at)[0]:
                continue
            if len(waits) == order.num_checkpoints + (order.contender == "hurried"):
                break
            save = _save_synchronously if order.contender == "synchronous" else _save
            waits.append(_slowest(group.exchange(save(built, report.step, Path(order.directory)))))
            due_at = time.monotonic() + order.interval_s
        built.saver.wait()
        group.barrier()
        num_needed_bytes = _needed(built, len(waits))
        # Nothing is before the first of those that are to wait for the one before.
        waits = waits[1:] if order.contender == "hurried" else waits
        return Turn(waits, steps, num_sent_bytes=0, num_needed_bytes=num_needed_bytes)


def _save(built: Any, step: int, directory: Path) -> Wait:
    """Ours: what `session` does, but for the evaluation."""
    from eagleray.train.state import TrainState

    built.group.barrier()
    started = time.perf_counter()
    built.saver.wait()
    waited = time.perf_counter()
    built.saver.save(TrainState(step=step), metrics={}, is_due=True)
    built.group.barrier()
    return Wait(stall_s=waited - started, save_s=time.perf_counter() - waited, upload_s=0.0)


def _save_synchronously(built: Any, step: int, directory: Path) -> Wait:
    """DeepSpeed's own checkpoint, and each rank's files to the storage by the client that ours uses."""
    objects, rank = built.saver._objects, built.group.rank
    built.group.barrier()
    started = time.perf_counter()
    built.engine._engine.save_checkpoint(str(directory), tag=f"step-{step}")
    built.group.barrier()
    saved = time.perf_counter()
    for file in sorted((directory / f"step-{step}").iterdir()):
        number = _shard(file)
        if rank == (0 if number is None else number):
            objects.upload(f"synchronous/{file.parent.name}/{file.name}", file)
    built.group.barrier()
    done = time.perf_counter()
    if built.group.is_first:  # outside of the clock: the server keeps what it has in memory
        for file in (directory / f"step-{step}").iterdir():
            file.unlink()
        objects.delete_folder("synchronous")
    return Wait(stall_s=0.0, save_s=saved - started, upload_s=done - saved)


def _shard(file: Path) -> int | None:
    """The rank whose shard it is: `zero_pp_rank_1_mp_rank_00_optim_states.pt`."""
    return int(file.name.split("_")[3]) if file.name.startswith("zero_pp_rank_") else None


def _slowest(waits: list[Wait]) -> Wait:
    return Wait(*(max(getattr(wait, name) for wait in waits) for name in Wait.__slots__))


def _is_uploading(built: Any) -> bool:
    upload = built.saver._upload
    return upload is not None and upload._thread.is_alive()


def _needed(built: Any, num_checkpoints: int) -> int:
    """Bytes of the state shards and the exported weights of the last checkpoint, times the checkpoints."""
    from eagleray.store import checkpoints, paths

    newest = checkpoints.newest(built.saver._objects, built.saver._run)
    if newest is None:
        return 0
    wanted = (each for each in newest.files if paths.is_state(each.path) or each.path.endswith(".safetensors"))
    return num_checkpoints * sum(entry.size_bytes for entry in wanted)


@dataclass(frozen=True, slots=True)
class SlowStorage:
    """An S3 server behind a proxy that lets bytes in at a rate, of all connections together."""

    endpoint: str
    received: Any  # a shared number

    @property
    def num_received_bytes(self) -> int:
        return int(self.received.value)


@contextmanager
def slow_storage(megabytes_per_s: float) -> Iterator[SlowStorage]:
    """Run the server and the proxy in a process of their own."""
    context = multiprocessing.get_context("spawn")
    received = context.Value("q", 0)
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, received, megabytes_per_s * 1e6), daemon=True)
    process.start()
    try:
        yield SlowStorage(f"http://127.0.0.1:{ours.recv()}", received)
    finally:
        process.kill()
        process.join()


def _serve(pipe: Any, received: Any, bytes_per_s: float) -> None:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # a line a request
    with s3.served() as endpoint:
        asyncio.run(_forward(int(endpoint.rpartition(":")[2]), pipe, received, bytes_per_s))


async def _forward(port: int, pipe: Any, received: Any, bytes_per_s: float) -> None:
    """Pass connections on to the server at `port`."""
    free_at = time.monotonic()

    async def let_in(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        nonlocal free_at
        while data := await source.read(64 * 1024):
            free_at = max(free_at, time.monotonic()) + len(data) / bytes_per_s
            received.value += len(data)
            await asyncio.sleep(free_at - time.monotonic())
            sink.write(data)
            await sink.drain()
        sink.close()

    async def let_out(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while data := await source.read(64 * 1024):
            sink.write(data)
            await sink.drain()
        sink.close()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_connection("127.0.0.1", port)
        with suppress(ConnectionError):  # of a client that is done
            await asyncio.gather(let_in(reader, server_writer), let_out(server_reader, writer))

    proxy = await asyncio.start_server(connected, "127.0.0.1", 0)
    pipe.send(proxy.sockets[0].getsockname()[1])
    await proxy.serve_forever()


def count_bytes_of_ray(sharding: str) -> dict[str, int]:
    """What Ray Train with the Trainer sends to the storage for one checkpoint, and how large that then is."""
    print(f"counting the bytes of a checkpoint of Ray's callback, {sharding}", flush=True)
    with slow_storage(1e6) as storage, tempfile.TemporaryDirectory(prefix="eagleray-bench-") as scratch:
        bucket = s3.new_bucket(storage.endpoint)
        before = storage.num_received_bytes
        command = [sys.executable, __file__, "--ray", storage.endpoint, bucket, sharding]
        turns.run(command, Path(scratch) / "log", environment=s3.environment(storage.endpoint), cwd=Path(scratch))
        sent = storage.num_received_bytes - before
        os.environ.update(s3.environment(storage.endpoint))
        from eagleray.store.objects import open_storage

        objects = open_storage(f"s3://{bucket}")
        kept = sum(info.size_bytes for info in objects.list() if "/checkpoint/" in info.key)
        return {"sent": sent, "kept": kept}


def report_by_ray(endpoint: str, bucket: str, sharding: str) -> None:
    """In a process of its own: train two steps and report one checkpoint, as Ray's documentation shows it."""
    import pyarrow.fs

    keys = s3.environment(endpoint)
    filesystem = pyarrow.fs.S3FileSystem(
        endpoint_override=endpoint.removeprefix("http://"),
        scheme="http",
        region=keys["AWS_REGION"],
        access_key=keys["AWS_ACCESS_KEY_ID"],
        secret_key=keys["AWS_SECRET_ACCESS_KEY"],
    )
    config = {"stage": 2 if sharding == "ZeRO-2" else None}
    peers.fit(_train_by_ray, config, num_workers=NUM_WORKERS, storage_path=bucket, storage_filesystem=filesystem)


def _train_by_ray(config: dict[str, Any]) -> None:
    from datasets import Dataset
    from ray.train.huggingface.transformers import RayTrainReportCallback, prepare_trainer

    rows = peers.encoder()[1](["a fine and moving film", "dull"] * 32, padding=True)
    dataset = Dataset.from_dict({**rows, "label": [1, 0] * 32})
    trainer = peers.trainer(
        dataset, callbacks=[], stage=config["stage"], max_steps=2, save_steps=2, save_strategy="steps"
    )
    trainer.add_callback(RayTrainReportCallback())
    prepare_trainer(trainer).train()


def _now() -> datetime:
    return datetime.now(UTC)


def _arguments() -> argparse.Namespace:
    parser = turns.parser(__doc__, rounds=3)
    parser.add_argument("--contenders", nargs="+", choices=CONTENDERS, default=CONTENDERS)
    parser.add_argument("--checkpoints", type=int, default=2, help="in a turn (default: %(default)s)")
    parser.add_argument("--rate", type=float, default=20.0, help="MB/s of the storage (default: %(default)s)")
    parser.add_argument("--no-bytes-of-ray", action="store_true", help="leave Ray's callback out")
    parser.add_argument("--ray", nargs=3, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
