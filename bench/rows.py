"""Which benchmarks are there, on what, against whom, and what is demanded of each?

One row is one run of one script, which writes its figures by contender and quantity (`turns.finish`). Minutes are
those of two cores; `quick` are the arguments of `make bench-quick`, None where a row is too long for it.
"""

from __future__ import annotations

from dataclasses import dataclass

from bench.figures import Demand


@dataclass(frozen=True, slots=True)
class Row:
    """A run of a script."""

    name: str
    title: str
    script: str  # in this folder, without its ending
    data: str
    threads: str
    backend: str
    demands: tuple[Demand, ...]
    minutes: float
    arguments: tuple[str, ...] = ()
    quick: tuple[str, ...] | None = None
    quick_minutes: float = 0.0
    has_rounds: bool = True  # it takes `--rounds`
    section: str = ""  # of docs/benchmarks.md, as a link names it


FILM = "MiniLM, film sentences"
SERVED = ("--directory", "bench/results/served")  # one trained and registered model for all that ask it
TWO = "2 workers of 1"
LINEAR = ("no worse than linear", 1.1)
SAME_BATCH = ("a step of the same global batch", None)  # more workers share its work, so linear would be no praise

ROWS = (
    Row(
        name="train",
        title="samples/s, mixed lengths, 1 worker",
        script="train_throughput",
        data=f"{FILM}, batch 32",
        threads="2",
        backend="torch fp32, ZeRO-0",
        demands=(
            Demand("Trainer's defaults", "ours.samples_per_s", "trainer.samples_per_s", at_least=1.6),
            Demand("Trainer, its length sampling", "ours.samples_per_s", "grouped.samples_per_s", at_least=1.0),
            Demand("bare DeepSpeed", "ours.samples_per_s", "bare.samples_per_s", at_least=0.98, is_limit=True),
            Demand("Trainer's defaults, by CPU time", "trainer.cpu_s_a_thousand", "ours.cpu_s_a_thousand"),
            Demand("bare DeepSpeed, by CPU time", "bare.cpu_s_a_thousand", "ours.cpu_s_a_thousand", is_limit=True),
        ),
        minutes=8,
        arguments=("--rounds", "3"),
        quick=("--rows", "320", "--rounds", "1", "--contenders", "ours", "bare", "trainer"),
        quick_minutes=1.5,
        section="how-fast-is-a-step",
    ),
    *(
        Row(
            name=f"train-zero{stage}",
            title=f"samples/s, 2 workers ZeRO-{stage}",
            script="train_sharded",
            data=f"{FILM}, batch 16 a worker",
            threads=TWO,
            backend=f"torch fp32, gloo, ZeRO-{stage}",
            demands=(
                Demand("Ray Train + Trainer", "ours.samples_per_s", "ray-plain.samples_per_s", at_least=1.3),
                Demand("the same, its length sampling", "ours.samples_per_s", "ray.samples_per_s"),
                Demand("bare DeepSpeed", "ours.samples_per_s", "bare.samples_per_s", at_least=0.97, is_limit=True),
            ),
            minutes=8,
            arguments=("--zero-stage", str(stage)),
        )
        for stage in (2, 3)
    ),
    Row(
        name="packed",
        title="packed language-model training, tokens/s of real targets",
        script="train_packed",
        data="SmolLM2 cut to 4 layers, film sentences as text, batch 32",
        threads="2",
        backend="torch fp32",
        demands=(
            Demand("padded Trainer", "ours.targets_per_s", "trainer.targets_per_s", at_least=1.8),
            Demand("the same, its length sampling", "ours.targets_per_s", "grouped.targets_per_s"),
        ),
        minutes=6,
    ),
    Row(
        name="bf16",
        title="bf16 on a CPU that has it",
        script="bf16",
        data=FILM,
        threads="2",
        backend="torch, ZeRO-1",
        demands=(
            Demand("our fp32, samples/s", "bf16.samples_per_s", "fp32.samples_per_s", at_least=1.3),
            Demand(
                "our fp32, points of F1 macro",
                "bf16.f1_points",
                "fp32.f1_points",
                at_least=-0.5,
                is_difference=True,
            ),
            Demand("matrix product's own ratio", "matmul.bf16_per_s", "matmul.fp32_per_s", is_limit=True),
        ),
        minutes=10,
    ),
    *(
        Row(
            name=f"predict-{backend}",
            title=f"`predict`, samples/s, {backend}",
            script="prediction",
            data=f"{FILM}, batch 32",
            threads="2",
            backend=f"{backend} fp32 (the Trainer: torch)",
            demands=(
                Demand("Trainer.predict", "ours.samples_per_s", "trainer.samples_per_s", at_least=least),
                Demand("the same, its length sampling", "ours.samples_per_s", "grouped.samples_per_s"),
                Demand(
                    f"offline sorted {backend}",
                    "ours.samples_per_s",
                    "offline.samples_per_s",
                    is_limit=True,
                ),
            ),
            minutes=4,
            arguments=("--backend", backend, "--rows", "1024", "--rounds", "5", *SERVED),
            quick=("--backend", backend, "--rows", "640", "--rounds", "1", *SERVED),
            quick_minutes=0.6,
        )
        for backend, least in (("torch", 1.4), ("onnx", 2.0))
    ),
    Row(
        name="memory",
        title="evaluation and `predict`, own memory from 1,000 to 100,000 rows",
        script="evaluation_memory",
        data="tiny random encoder, made reviews",
        threads="2",
        backend="torch fp32",
        demands=(
            Demand("flat: MiB more, evaluation", "evaluate.own_growth_mib", at_most=16),
            Demand("flat: MiB more, `predict`", "predict.own_growth_mib", at_most=16),
        ),
        minutes=6,
        has_rounds=False,
        arguments=("--parts", "evaluate", "predict"),
        section="what-does-memory-cost-as-rows-grow",
    ),
    Row(
        name="startup",
        title="command to first step",
        script="startup",
        data=FILM,
        threads=TWO,
        backend="torch fp32, ZeRO-2, Ray",
        demands=(
            Demand("Ray Train + Trainer", "ours.first_step_s", "ray.first_step_s", at_most=0.8),
            Demand("Ray's start + imports", "ours.first_step_s", "floor.imported_s", at_most=1.2, is_limit=True),
        ),
        minutes=6,
        arguments=("--rounds", "3"),
        quick=("--rounds", "1", "--contenders", "ours", "floor"),
        quick_minutes=2.0,
        section="how-long-until-the-first-step",
    ),
    Row(
        name="checkpoints",
        title="checkpoint stall",
        script="checkpoints",
        data=f"{FILM}; S3 server of 20 MB/s",
        threads=TWO,
        backend="torch fp32, ZeRO-2",
        demands=(
            Demand("synchronous DeepSpeed save and upload", "ours.blocked_s", "synchronous.blocked_s", at_most=0.2),
            Demand("a copy to this disk", "ours.blocked_s", "copy.seconds", is_limit=True),
        ),
        minutes=10,
        arguments=("--contenders", "ours", "synchronous", "--no-bytes-of-ray"),
        section="what-does-a-checkpoint-cost",
    ),
    Row(
        name="recovery",
        title="SIGKILL until back at the step it had reached",
        script="recovery",
        data=f"{FILM}, batch 16 a worker",
        threads=TWO,
        backend="torch fp32, ZeRO-2, Ray",
        demands=(Demand("Ray Train + Trainer, its resume", "ours.back_s", "sharded.back_s", at_most=0.8),),
        minutes=14,
        arguments=("--contenders", "ours", "sharded"),
        section="how-long-does-the-death-of-a-worker-hold-a-run-up",
    ),
    Row(
        name="sweep",
        title="12-trial sweep, speed by wall clock",
        script="sweep",
        data=f"{FILM}, 10 steps a trial",
        threads="1 a trial, 2 at once",
        backend="torch fp32",
        demands=(
            Demand("Ray's Tune over Train, as documented", "documented.seconds", "ours.seconds", at_least=4),
            Demand("the same, side by side by hand", "by-hand.seconds", "ours.seconds"),
            Demand("Optuna + loop in one process", "in-process.seconds", "ours.seconds", is_limit=True),
        ),
        minutes=14,
        arguments=("--parts", "wall", "--rounds", "1"),
        section="what-does-the-sweep-itself-cost-and-what-does-it-find",
    ),
    Row(
        name="serving-short",
        title="requests/s, 32 clients, short texts",
        script="serving",
        data=f"{FILM} of 25 words",
        threads="2 replicas of 1",
        backend="ours: ONNX Runtime, peers: torch",
        demands=(
            Demand("Flask, fp32", "onnx-fp32.per_s", "flask.per_s", at_least=2.2),
            Demand("Flask, int8", "onnx-int8.per_s", "flask.per_s", at_least=3.5),
            Demand("Flask, ours on torch too", "torch.per_s", "flask.per_s"),
            Demand("the same pipeline behind waitress, fp32", "onnx-fp32.per_s", "waitress.per_s"),
            Demand("plain Serve, fp32", "onnx-fp32.per_s", "serve.per_s", at_least=2.0),
            Demand("Serve with `@serve.batch`, fp32", "onnx-fp32.per_s", "serve-batch.per_s"),
            Demand("FastAPI + torch, fp32", "onnx-fp32.per_s", "fastapi.per_s"),
            Demand("p99 of Flask", "onnx-fp32.p99_ms", "flask.p99_ms", at_most=1.0),
            Demand("p99 of plain Serve", "onnx-fp32.p99_ms", "serve.p99_ms", at_most=1.0),
            Demand("Serve answering nothing", "onnx-fp32.per_s", "nothing.per_s", is_limit=True),
        ),
        minutes=16,
        arguments=("--parts", "throughput", "--seconds", "10", *SERVED),
        quick=("--parts", "throughput", "--seconds", "5", "--rounds", "1", *SERVED, "--servers", "flask", "onnx-fp32"),
        quick_minutes=2.0,
        section="how-fast-does-an-endpoint-answer",
    ),
    Row(
        name="serving-long",
        title="requests/s, 32 clients, 200-word texts",
        script="serving",
        data=f"{FILM} joined to 200 words",
        threads="2 replicas of 1",
        backend="ours: ONNX Runtime fp32, Flask: torch",
        demands=(
            Demand("Flask", "onnx-fp32.per_s", "flask.per_s", at_least=3.0),
            Demand("offline ONNX, as many threads", "onnx-fp32.per_s", "offline.per_s", at_least=0.75, is_limit=True),
        ),
        minutes=8,
        arguments=("--parts", "long", "--seconds", "15", *SERVED),
        section="how-fast-does-an-endpoint-answer",
    ),
    Row(
        name="streams",
        title="language model, tokens/s, 8 streams",
        script="serving_under_load",
        data="SmolLM2 134M, chat, 32 tokens",
        threads="2",
        backend="torch fp32",
        demands=(
            Demand("one stream", "ours.eight_per_s", "ours.one_per_s", at_least=2.5),
            Demand("`transformers serve`", "ours.eight_per_s", "transformers.eight_per_s", at_least=1.0),
        ),
        minutes=6,
        arguments=("--parts", "streams", "--rounds", "3", *SERVED),
        section="what-does-an-endpoint-keep-to-under-load",
    ),
    Row(
        name="tokenising",
        title="tokenising and caching 1,000,000 rows",
        script="tokenising",
        data="made texts of 8 words, MiniLM's tokenizer",
        threads="2 processes",
        backend="tokenizers",
        demands=(
            Demand("`datasets.map`", "datasets.first_s", "ours.first_s", at_least=1.0),
            Demand("its own first time, the second", "ours.first_s", "ours.second_s", at_least=50),
            Demand("tokenizer alone, as many threads", "tokenizer.first_s", "ours.first_s", is_limit=True),
        ),
        minutes=10,
        arguments=("--rounds", "1"),
        quick=("--rounds", "1", "--rows", "100000"),
        quick_minutes=1.0,
    ),
    Row(
        name="scaling",
        title="a step of 4 workers, as docs/scaling.md reckons it from what two take, by what it takes",
        script="scaling",
        data=f"{FILM} of one length, batch 4 a worker",
        threads="1 a worker",
        backend="torch fp32, gloo",
        demands=tuple(
            Demand(f"{what}, measured", f"{what}.four_predicted_s", f"{what}.four_s")
            for what in ("all-reduce", "ZeRO-0", "ZeRO-2", "ZeRO-3")
        ),
        minutes=6,
        has_rounds=False,
    ),
    *(
        Row(
            name=f"growth-{part}",
            title=f"how cost grows with {part}: power at its steepest (1 is linear)",
            script="growth",
            data=data,
            threads=threads,
            backend=backend,
            demands=(Demand(against, "ours.power", at_most=most),),
            minutes=minutes,
            has_rounds=False,
            arguments=("--parts", part),
            quick=("--parts", part) if quick else None,
            quick_minutes=quick,
        )
        for part, data, threads, backend, minutes, quick, (against, most) in (
            ("workers", "tiny random encoder, 1, 2, 4", "1 a worker", "torch, gloo, ZeRO-2", 4, 0.0, SAME_BATCH),
            ("rows", "made texts, 10^3 to 10^6", "2 processes", "tokenizers", 8, 0.0, LINEAR),
            ("trials", "trials that do nothing, 10 to 1,000", "1", "Optuna", 2, 0.0, LINEAR),
            ("versions", "made records, 1 to 10,000", "1", "a directory", 5, 0.0, LINEAR),
            ("documents", "made FineTunes, 1 to 1,000", "1", "the operator's decisions", 1, 0.3, LINEAR),
        )
    ),
)
