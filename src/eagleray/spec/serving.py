"""The root of a serving document: kind Endpoint."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field, model_validator

from eagleray.spec.base import Conflict, ConflictError, Name, Reference, Spec, Text
from eagleray.spec.cluster import ClusterSpec
from eagleray.spec.endpoint import EndpointSpec
from eagleray.spec.finetune import API_VERSION, FineTune, MetadataSpec
from eagleray.spec.promote import PromoteSpec


class EnsembleMemberSpec(Spec):
    """A model of an ensemble."""

    name: Name
    """One of the models of this document."""
    weight: Annotated[float, Field(gt=0)] = 1.0
    """How much its answer counts."""


class ServedModelSpec(Spec):
    """A registered model, under the name that requests call it by."""

    name: Name
    """What requests say as `model`."""
    model: Reference
    """`NAME@ALIAS` follows promotions of the alias, `NAME@3` stays, `NAME` is the newest version at the start."""


class EnsembleSpec(Spec):
    """Several models that answer as one."""

    name: Name
    """What requests say as `model`."""
    members: Annotated[tuple[EnsembleMemberSpec, ...], Field(min_length=2)]
    """Models of this document; their labels must be the same."""
    combine: Literal["mean", "vote"] = "mean"
    """mean: of the probabilities. vote: the label that most name, probabilities are shares of the votes."""


class ServingSpec(Spec):
    """Which models, and how."""

    storage: Text | None = None
    """Where the registry is. Left out: `./runs`."""
    models: Annotated[tuple[ServedModelSpec, ...], Field(min_length=1)]
    """Which models answer; the first answers requests that name none."""
    ensembles: tuple[EnsembleSpec, ...] = ()
    """Models that are made of others."""
    max_loaded: Annotated[int, Field(ge=1)] = 8
    """Models in the memory of a replica at once; the one not asked for longest goes when another is asked for.
    Where there are several models, LoRA adapters on one base hold it in memory together."""
    endpoint: EndpointSpec = EndpointSpec()
    """The HTTP endpoint."""
    cluster: ClusterSpec | None = None
    """What Kubernetes is told: `eagleray render`."""

    @property
    def names(self) -> tuple[str, ...]:
        """What requests may say as `model`."""
        return (*(model.name for model in self.models), *(ensemble.name for ensemble in self.ensembles))

    @model_validator(mode="after")
    def _parts_fit_together(self) -> ServingSpec:
        conflicts = list(_conflicts(self))
        if conflicts:
            raise ConflictError(*conflicts)
        return self


class Endpoint(Spec):
    """A serving document."""

    apiVersion: Literal["eagleray.io/v1alpha1"] = API_VERSION
    """The version of this format."""
    kind: Literal["Endpoint"]
    """What the document describes."""
    metadata: MetadataSpec
    """What the document is called."""
    spec: ServingSpec
    """Which models, and how."""


def of_training(document: FineTune) -> ServingSpec:
    """What a training document serves: its own model, by the alias that it promotes to."""
    name, spec = document.metadata.name, document.spec
    served = ServedModelSpec(name=name, model=f"{name}@{(spec.promote or PromoteSpec()).alias}")
    return ServingSpec(models=(served,), endpoint=spec.endpoint or EndpointSpec(), cluster=spec.cluster)


def _conflicts(spec: ServingSpec) -> Iterator[Conflict]:
    for name in sorted({name for name in spec.names if spec.names.count(name) > 1}):
        yield Conflict("models", f"`{name}` stands twice: requests could not tell them apart")
    if spec.ensembles and spec.endpoint.backend.type == "vllm":
        yield Conflict("ensembles", "models that vllm runs continue texts, there is nothing to combine: leave it out")
    known = {each.name for each in spec.models}
    for number, ensemble in enumerate(spec.ensembles):
        for member in ensemble.members:
            if member.name not in known:
                yield Conflict(
                    f"ensembles[{number}].members",
                    f"`{member.name}` is no model of this document, which has {', '.join(sorted(known))}",
                )
        num_members = len({member.name for member in ensemble.members})
        if num_members > spec.max_loaded:
            yield Conflict(
                f"ensembles[{number}].members",
                f"{num_members} models answer together and max_loaded is {spec.max_loaded}: raise max_loaded",
            )
