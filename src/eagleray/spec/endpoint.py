"""How is a model served: replicas, batches, limits, who may call, and how a new version takes over?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field, model_validator

from eagleray.spec.base import Conflict, ConflictError, Spec, Text

LOOPBACK = ("127.0.0.1", "localhost", "::1")

Seconds = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]


class ReplicasSpec(Spec):
    """How many processes answer, and what each has."""

    min: Annotated[int, Field(ge=0)] = 1
    """The fewest; 0 lets an idle endpoint hold nothing, and the first request waits for a start."""
    max: Annotated[int, Field(ge=1)] = 1
    """The most."""
    target_ongoing_requests: Annotated[float, Field(gt=0)] = 16.0
    """Requests at once that a replica shall have on average: more of them start another replica."""
    upscale_delay_s: Annotated[float, Field(ge=0)] = 3.0
    """How long the load must be higher before replicas are added."""
    downscale_delay_s: Annotated[float, Field(ge=0)] = 60.0
    """How long the load must be lower before replicas are taken away."""
    cpus: Annotated[float, Field(gt=0)] = 1.0
    """CPUs of a replica, and its threads."""
    gpus: Annotated[float, Field(ge=0)] = 0.0
    """GPUs of a replica."""

    @model_validator(mode="after")
    def _max_is_not_below_min(self) -> ReplicasSpec:
        if self.max < self.min:
            raise ConflictError(Conflict("max", f"{self.max} is less than min {self.min}: raise max or lower min"))
        return self


class TorchBackendSpec(Spec):
    """PyTorch, as the model was trained."""

    type: Literal["torch"]
    """What runs the model."""
    dtype: Literal["fp32", "bf16"] = "fp32"
    """In which precision."""


class OnnxBackendSpec(Spec):
    """ONNX Runtime; the version must have been registered with its ONNX files."""

    type: Literal["onnx"]
    """What runs the model."""
    precision: Literal["fp32", "int8"] = "fp32"
    """int8 is faster on CPUs and costs some accuracy, which `eagleray models show` tells."""


class VllmBackendSpec(Spec):
    """vLLM through `ray.serve.llm`, on GPUs. Not run by this project's tests: only its configuration is tested."""

    type: Literal["vllm"]
    """What runs the model."""
    dtype: Literal["bf16", "fp16", "fp32"] = "bf16"
    """In which precision; fp16 for GPUs that have no bf16."""
    tensor_parallel_size: Annotated[int, Field(ge=1)] = 1
    """GPUs that one copy of the model is spread over."""
    max_model_len: Annotated[int, Field(ge=1)] | None = None
    """Longest context; left out, the model's own."""
    gpu_memory_utilization: Annotated[float, Field(gt=0, le=1)] = 0.9
    """Share of a GPU's memory that vLLM takes."""


BackendSpec = Annotated[TorchBackendSpec | OnnxBackendSpec | VllmBackendSpec, Field(discriminator="type")]


class BatchSpec(Spec):
    """Which requests are answered together."""

    max_size: Annotated[int, Field(ge=1)] = 32
    """The most inputs in a batch."""
    max_tokens: Annotated[int, Field(ge=1)] = 4096
    """The most tokens in a batch, padding included."""
    max_padding: Share = 0.1
    """The largest share of padding in a batch: on a CPU padding costs more than batching gives."""
    max_wait_ms: Annotated[float, Field(ge=0)] = 0.0
    """How long an idle model waits for company to the first input."""


class LimitsSpec(Spec):
    """What a request may ask for."""

    max_body_bytes: Annotated[int, Field(ge=1)] = 1_048_576
    """Larger bodies get 413."""
    max_inputs: Annotated[int, Field(ge=1)] = 256
    """Inputs of one request; more get 422."""
    truncate: bool = False
    """Whether a text longer than the model reads is cut; else it gets 422, unless the request asks for the cut."""
    max_queue: Annotated[int, Field(ge=1)] = 256
    """Inputs that wait in a replica; beyond it requests get 429 with Retry-After."""
    max_queue_s: Seconds = 2.0
    """How long an input may have to wait for the model, by the pace of those before it; beyond it requests get 429 as
    well: what is taken is answered in time."""
    request_timeout_s: Seconds = 30.0
    """A request that takes longer gets 504. A stream may last longer."""
    max_new_tokens: Annotated[int, Field(ge=1)] = 1024
    """Tokens that a request may have generated."""
    max_streams: Annotated[int, Field(ge=1)] = 32
    """Generations at once in a replica, those that wait included; beyond it requests get 429."""


class KeysAuthSpec(Spec):
    """API keys, made by `eagleray keys create`."""

    type: Literal["keys"]
    """Who may call."""
    file: Text | None = None
    """The keys file, such as a mounted Kubernetes secret. Left out: the keys on the endpoint's storage."""


class JwtAuthSpec(Spec):
    """JSON Web Tokens that somebody else signs; API keys go on to work beside them."""

    type: Literal["jwt"]
    """Who may call."""
    algorithm: Literal["HS256", "RS256"]
    """The only algorithm accepted, whatever a token says."""
    key_file: Text
    """The shared secret (HS256) or the public key in PEM (RS256)."""
    issuer: Text | None = None
    """What `iss` must be."""
    audience: Text | None = None
    """What `aud` must hold."""


class NoAuthSpec(Spec):
    """Everybody who reaches it, which is this machine alone: `host` must be a loopback address."""

    type: Literal["none"]
    """Who may call."""


AuthSpec = Annotated[KeysAuthSpec | JwtAuthSpec | NoAuthSpec, Field(discriminator="type")]


class TlsSpec(Spec):
    """HTTPS."""

    cert_file: Text
    """The certificate chain in PEM."""
    key_file: Text
    """The private key in PEM."""


class RolloutSpec(Spec):
    """How a version that was promoted takes the place of the one before."""

    steps: Annotated[tuple[Annotated[float, Field(gt=0, le=1)], ...], Field(min_length=1)] = (1.0,)
    """Shares of the requests that the new version gets, one after the other; the last must be 1."""
    watch_s: Annotated[float, Field(ge=0)] = 30.0
    """How long each step is watched; shorter than `limits.request_timeout_s` a version that hangs may pass."""
    max_error_rate: Share = 0.02
    """More failed requests than this, beyond those of the old version, take it back."""
    max_latency_ratio: Annotated[float, Field(gt=1)] = 2.0
    """A median latency so many times that of the old version takes it back."""
    min_requests: Annotated[int, Field(ge=1)] = 20
    """Fewer requests than this prove nothing about latency."""
    shadow: bool = False
    """Send the new version a copy of the requests first, for `watch_s`, and report where its answers differ."""

    @model_validator(mode="after")
    def _steps_rise_to_all(self) -> RolloutSpec:
        if list(self.steps) != sorted(set(self.steps)) or self.steps[-1] != 1:
            given = ", ".join(f"{step:g}" for step in self.steps)
            raise ConflictError(Conflict("steps", f"must rise and end with 1, such as [0.1, 0.5, 1]; given: {given}"))
        return self


class EndpointSpec(Spec):
    """An HTTP endpoint."""

    host: Text = "127.0.0.1"
    """The address it listens on; 0.0.0.0 for every one."""
    port: Annotated[int, Field(ge=1, le=65535)] = 8000
    """The port it listens on."""
    replicas: ReplicasSpec = ReplicasSpec()
    """How many processes answer."""
    backend: BackendSpec = TorchBackendSpec(type="torch")
    """What runs the model."""
    batch: BatchSpec = BatchSpec()
    """Which requests are answered together."""
    limits: LimitsSpec = LimitsSpec()
    """What a request may ask for."""
    auth: AuthSpec = KeysAuthSpec(type="keys")
    """Who may call."""
    tls: TlsSpec | None = None
    """HTTPS; left out, plain HTTP."""
    cors_origins: tuple[Text, ...] = ()
    """Web pages of these origins may call it from a browser."""
    rollout: RolloutSpec = RolloutSpec()
    """How a version that was promoted takes over."""
    log_bodies: bool = False
    """Write requests' bodies to the access log."""
    drain_s: Seconds = 30.0
    """How long a replica that is taken away may finish what it has begun."""

    @model_validator(mode="after")
    def _parts_fit_together(self) -> EndpointSpec:
        conflicts = list(_conflicts(self))
        if conflicts:
            raise ConflictError(*conflicts)
        return self


def _conflicts(spec: EndpointSpec) -> Iterator[Conflict]:
    if spec.auth.type == "none" and spec.host not in LOOPBACK:
        yield Conflict(
            "auth.type", f"`none` is for this machine alone, host is {spec.host}: use `keys`, or host 127.0.0.1"
        )
    if spec.backend.type == "vllm" and spec.replicas.gpus < spec.backend.tensor_parallel_size:
        needed = spec.backend.tensor_parallel_size
        yield Conflict(
            "replicas.gpus",
            f"{spec.replicas.gpus:g} is less than backend.tensor_parallel_size {needed}: vllm runs on GPUs, so many of "
            f"them: set it to {needed}",
        )
