"""What has Kubernetes to know of a document: images, pods, storage, deadlines? The section `cluster`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from eagleray.spec.base import Conflict, ConflictError, InWords, Spec, Text
from eagleray.spec.exposure import GatewaySpec, IngressSpec, Namespace, ObjectName, ScrapingSpec

Quantity = Annotated[
    str,
    StringConstraints(pattern=r"^[0-9]+(\.[0-9]+)?(Ki|Mi|Gi|Ti|k|M|G|T)?$", max_length=16),
    InWords("an amount of memory as Kubernetes writes it, such as 8Gi or 500M"),
]
MountPath = Annotated[
    str,
    StringConstraints(pattern=r"^(/[A-Za-z0-9._-]+)+$", max_length=200),
    InWords("an absolute directory, such as /shared"),
]
Labels = dict[str, str]
Seconds = Annotated[int, Field(ge=1, le=2**31 - 1)]

TAKEN_PATHS = ("/spec", "/tmp", "/cache", "/home/eagleray", "/dev/shm")
"""What every pod mounts already; nothing else may lie there."""


_UNITS = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


def size_bytes(quantity: str) -> int:
    """The bytes of an amount such as 8Gi."""
    number = quantity.rstrip("".join(_UNITS))
    return int(float(number) * _UNITS[quantity.removeprefix(number)])


class ClaimSpec(Spec):
    """A volume that all pods mount, for a storage or data that is no bucket."""

    name: ObjectName
    """The PersistentVolumeClaim."""
    mount_path: MountPath = "/shared"
    """Where pods see it."""
    size: Quantity | None = None
    """Make it, so large. Left out: it is there already."""
    storage_class: ObjectName | None = None
    """Of which class it is made: one that many nodes write at once. Left out: the cluster's default."""


class HeadSpec(Spec):
    """The pod with Ray's head and the driver; nothing is trained or served on it."""

    cpus: Annotated[float, Field(gt=0)] = 2.0
    """CPUs of it."""
    memory: Quantity = "8Gi"
    """Its memory. The driver tests and registers the model there."""


class WorkersSpec(Spec):
    """The pods in which models train or answer."""

    per_pod: Annotated[int, Field(ge=1)] = 1
    """Workers or replicas of one pod: 8 puts those of a node of eight GPUs together."""
    pods: Annotated[int, Field(ge=1)] | None = None
    """How many for training. Left out: as many as `scale.num_workers`, for a sweep times `sweep.max_concurrent`."""
    memory: Quantity = "8Gi"
    """Memory of a pod, shared memory included."""
    shared_memory: Quantity = "2Gi"
    """How much of it is for Ray's object store and between processes."""
    scratch: Quantity = "20Gi"
    """Disk for the caches and temporary files of a pod."""
    gpu_resource: Text = "nvidia.com/gpu"
    """What Kubernetes calls a GPU here; a taint of the same name is tolerated."""
    node_selector: Labels = Field(default={})
    """Labels of the nodes they may run on, such as `{cloud.google.com/gke-accelerator: nvidia-h100-80gb}`."""
    tolerate: tuple[Text, ...] = ()
    """Keys of taints of nodes that they tolerate."""
    spot: Literal["never", "allowed", "only"] = "never"
    """Whether they run on nodes that may be taken away. The head never does."""

    @model_validator(mode="after")
    def _shared_memory_is_a_part(self) -> WorkersSpec:
        if size_bytes(self.shared_memory) >= size_bytes(self.memory):
            message = f"{self.shared_memory} is a part of memory {self.memory}, and must be less"
            raise ConflictError(Conflict("shared_memory", message))
        return self


class JobSpec(Spec):
    """How long the Kubernetes job of a run may take, how often it is tried, and how long it stays."""

    deadline_s: Seconds | None = None
    """It is ended after so long. Left out: it may take as long as it does."""
    start_deadline_s: Seconds | None = Field(default=3600)
    """It fails if its pods do not run after so long."""
    retries: Annotated[int, Field(ge=0, le=100)] = 3
    """How often it begins again on new pods, from its checkpoint, after it has failed with all of them."""
    keep_succeeded_s: Annotated[int, Field(ge=0)] = 0
    """How long its pods stay after it has succeeded."""
    keep_failed_s: Annotated[int, Field(ge=0)] = 3600
    """How long they stay after it has failed, to be looked at. With a `queue`, `keep_succeeded_s` holds for both."""


class LifecycleSpec(Spec):
    """What the operator does with the run of a document: hold it, end it, try it again, and what stays of it."""

    suspend: bool = False
    """Hold the run: its pods go, its checkpoints stay, and it goes on from them once this is false again."""
    cancel: bool = False
    """End the run for good. What it has saved stays."""
    on_change: Literal["refuse", "fork"] = "refuse"
    """What a changed document does to a run that goes on. refuse: the run ends first. fork: a new run begins from its
    newest checkpoint at once."""
    retries: Annotated[int, Field(ge=0, le=100)] = 0
    """How often the job is made anew after it has failed for good, beyond `job.retries`."""
    backoff_s: Seconds = 60
    """How long to wait before the first of those; each time twice as long, an hour at most."""
    on_delete: Literal["keep", "delete"] = "keep"
    """What becomes of the runs on the storage when the document is deleted. Registered versions stay."""


class RedisSpec(Spec):
    """Where Ray's head keeps what it knows, so that an endpoint goes on while the head is made anew."""

    address: Text
    """Such as `redis:6379`."""
    password_secret: ObjectName | None = None
    """The Secret with its password. Left out: it has none."""
    password_key: Text = "password"
    """The key in that Secret."""


class ClusterSpec(Spec):
    """What Kubernetes is told when a document is rendered. It changes nothing of what is learned."""

    image: Text | None = None
    """The image of all pods, with eagleray and its extras in it. Left out: `eagleray/worker:` and this version."""
    image_pull_secrets: tuple[ObjectName, ...] = ()
    """Secrets for its registry."""
    service_account: ObjectName | None = None
    """A ServiceAccount that is there. Left out: one is made, with a Role that allows no more than is needed."""
    service_account_annotations: Labels = Field(default={})
    """Annotations of the one that is made, such as those that give it access to a bucket."""
    secrets: tuple[ObjectName, ...] = ()
    """Secrets whose keys become environment variables, such as AWS_ACCESS_KEY_ID."""
    secret_files: dict[str, MountPath] = Field(default={})
    """Secrets that are mounted as directories: `{endpoint-tls: /etc/tls}`."""
    claim: ClaimSpec | None = None
    """A volume that all pods mount."""
    head: HeadSpec = HeadSpec()
    """The pod with Ray's head."""
    workers: WorkersSpec = WorkersSpec()
    """The pods in which models train or answer."""
    replicas: WorkersSpec | None = None
    """The pods in which models answer, where they are not as `workers`."""
    job: JobSpec = JobSpec()
    """How long a run may take, and how often it is tried."""
    lifecycle: LifecycleSpec = LifecycleSpec()
    """What the operator does with the run: `eagleray operator`."""
    queue: ObjectName | None = None
    """The LocalQueue of Kueue that lets a run or a shared cluster start; until then it is suspended."""
    priority_class: ObjectName | None = None
    """The PriorityClass of all pods."""
    drain_s: Seconds = 60
    """How long a worker that is taken away may finish what it has begun."""
    checkpoint_s: Seconds = 120
    """How long saving a checkpoint may take after that."""
    protect_head: bool = True
    """Hold back the eviction of the head, so that emptying its node waits for the end of the run."""
    redis: RedisSpec | None = None
    """Keep Ray's state outside of the head of an endpoint or of a shared cluster."""
    token_secret: ObjectName | None = None
    """A Secret whose key `auth_token` is Ray's token. Left out: KubeRay makes one."""
    kuberay_namespace: Namespace | None = None
    """Where the KubeRay operator runs, which asks the head how it is. Left out: anywhere."""
    spare_gpus: Annotated[int, Field(ge=0)] = 0
    """GPUs that the cluster has beside those of the endpoint while it is made anew; they decide how that is done."""
    callers: tuple[Namespace, ...] = ()
    """Namespaces whose pods reach the endpoint, such as the ingress controller's. Left out: none does."""
    ingress: IngressSpec | None = None
    """An Ingress to the endpoint."""
    gateway: GatewaySpec | None = None
    """A route of the Gateway API to the endpoint."""
    monitoring: ScrapingSpec | None = None
    """Have the Prometheus operator scrape the pods."""

    @model_validator(mode="after")
    def _parts_fit_together(self) -> ClusterSpec:
        conflicts = list(_conflicts(self))
        if conflicts:
            raise ConflictError(*conflicts)
        return self


def _conflicts(spec: ClusterSpec) -> Iterator[Conflict]:
    if spec.ingress is not None and spec.gateway is not None:
        yield Conflict("gateway", "excludes `ingress`: keep the one that your cluster has")
    way = "ingress" if spec.ingress is not None else "gateway"
    if (spec.ingress or spec.gateway) and not spec.callers:
        yield Conflict("callers", f"is empty: name the namespace in which the controller of the {way} runs")
    if spec.service_account is not None and spec.service_account_annotations:
        yield Conflict("service_account_annotations", "are for an account that is made: leave service_account out")
    mounts = dict(spec.secret_files) | ({"claim": spec.claim.mount_path} if spec.claim else {})
    for name, path in mounts.items():
        place = "claim.mount_path" if name == "claim" else f'secret_files."{name}"'
        others = [*TAKEN_PATHS, *(other for key, other in mounts.items() if key != name)]
        if near := next((other for other in others if _overlap(path, other)), None):
            yield Conflict(place, f"{path} and {near}, which is mounted too, overlap: give another directory")


def _overlap(path: str, other: str) -> bool:
    return f"{path}/".startswith(f"{other}/") or f"{other}/".startswith(f"{path}/")
