"""Does a document fit, how long does it take and what does it cost? What is needed for the answer is asked together."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from eagleray.errors import UserError
from eagleray.flow import besides, duration, estimate
from eagleray.flow.besides import Besides
from eagleray.flow.duration import Duration, SweepSize
from eagleray.flow.estimate import Estimate
from eagleray.flow.measured import Measured, View
from eagleray.spec import finetune
from eagleray.spec.finetune import FineTune, FineTuneSpec
from eagleray.train import preflight
from eagleray.train.ray_environment import is_embedded
from eagleray.train.resources import Resources, WorkerShape, check_fits, this_machine, worker_shape


@dataclass(frozen=True, slots=True)
class Place:
    """Where the workers would be."""

    name: str  # "this machine", "the cluster"
    has: Resources
    worker_bytes: int | None
    accelerators: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SweepCost:
    """A search with its last run: in device-hours where a step was measured."""

    size: SweepSize
    device_hours: float | None  # without pruning
    expected_device_hours: float | None  # with it


@dataclass(frozen=True, slots=True)
class Plan:
    """What will happen."""

    estimate: Estimate
    place: Place
    misfit: str  # why the workers cannot all run there; empty where they can
    measured: Measured | None
    duration: Duration | None
    sweep: SweepCost | None
    price_an_hour: float | None  # of a device
    price: float | None  # of the run, of its sweep as it is expected, and of its other runs
    besides: tuple[Besides, ...] = ()  # the document's other runs: what they take comes on top


def make(
    document: FineTune,
    *,
    storage: str,
    cache_dir: Path,
    view: View,
    probes: bool,
    prices: Path | None,
    accelerator: str | None,
) -> Plan:
    """Look at the document and at what it would run on; `probes` takes a few steps there.

    Raises:
        UserError: the document, the data, the model or the table of prices cannot work as they are.
        ClusterError: the cluster at RAY_ADDRESS does not answer.
    """
    spec = document.spec
    preflight.check_sources(spec)
    shape = worker_shape(spec.scale, embedded=is_embedded())
    with ExitStack() as stack:
        place = _place(spec, shape, stack)
        hourly = _price_an_hour(prices, accelerator, place, shape)

        def estimated(each: FineTune) -> Estimate:
            return estimate.estimate(
                each,
                cache_dir=cache_dir,
                worker_bytes=place.worker_bytes,
                shape=shape,
                on_progress=lambda stage, count: view.say(f"{stage} {count:,}"),
            )

        found = estimated(document)
        misfit = _misfit(spec, shape, place)
        sweep = _sweep_size(spec, found)

        def measure(each: FineTune) -> Measured | None:
            return _measured(each, storage, cache_dir, view, misfit=misfit) if probes else None

        measured = measure(finetune.beginning_with(document, spec.model.source))
        others = besides.stages(document, estimated=estimated, measured=measure)
        others += besides.students(spec, found, measured)
    takes = duration.duration(spec, found, measured) if measured else None
    cost = _sweep_cost(sweep, found, measured)
    hours = _hours(takes, cost, others)
    price = hours * hourly if hours is not None and hourly is not None else None
    return Plan(found, place, misfit, measured, takes, cost, hourly, price, tuple(others))


def _hours(takes: Duration | None, sweep: SweepCost | None, others: list[Besides]) -> float | None:
    """Device-hours of all together, where steps were measured."""
    if takes is None:
        return None
    searching = (sweep.expected_device_hours or 0) if sweep else 0
    return takes.device_hours + searching + sum(each.device_hours or 0 for each in others)


def _place(spec: FineTuneSpec, shape: WorkerShape, stack: ExitStack) -> Place:
    if is_embedded():
        has = this_machine()
        owned = estimate.machine_bytes(shape, num_local_workers=spec.scale.num_workers)
        return Place("this machine", has, owned, estimate.machine_accelerators())
    from eagleray.train import cluster

    has = stack.enter_context(cluster.connected())
    return Place("the cluster", has, cluster.worker_bytes(shape), tuple(cluster.accelerators()))


def _misfit(spec: FineTuneSpec, shape: WorkerShape, place: Place) -> str:
    try:
        check_fits(spec.scale, shape, place.has, where=place.name)
    except UserError as error:
        return str(error)
    return ""


def _price_an_hour(prices: Path | None, accelerator: str | None, place: Place, shape: WorkerShape) -> float | None:
    if prices is None:
        return None
    found = ("cpu",) if not shape.num_gpus else place.accelerators
    if accelerator is None and len(found) != 1:
        raise UserError(
            f"--prices {prices}: {place.name} has {' and '.join(found) or 'no GPU'}: say by --accelerator which it is"
        )
    return duration.price_an_hour(prices, accelerator or found[0])


def _measured(document: FineTune, storage: str, cache_dir: Path, view: View, *, misfit: str) -> Measured:
    if misfit:
        raise UserError(f"--probe: {misfit}")
    from eagleray.flow.probe import probe  # imports Ray

    return probe(document, storage=storage, cache_dir=cache_dir, view=view)


def _sweep_size(spec: FineTuneSpec, found: Estimate) -> SweepSize | None:
    if spec.sweep is None:
        return None
    length = found.length
    return duration.sweep_size(spec.sweep, length.total_steps, steps_per_epoch=length.steps_per_epoch)


def _sweep_cost(size: SweepSize | None, found: Estimate, measured: Measured | None) -> SweepCost | None:
    if size is None:
        return None
    if measured is None:
        return SweepCost(size, None, None)
    return SweepCost(
        size,
        duration.step_hours(found, measured, size.steps + size.final_steps),
        duration.step_hours(found, measured, size.expected_steps + size.final_steps),
    )
