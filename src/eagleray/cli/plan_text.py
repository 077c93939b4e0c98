"""A plan as lines and tables of at most 80 columns."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from eagleray.data.report_text import render

if TYPE_CHECKING:
    from eagleray.flow.besides import Besides
    from eagleray.flow.budgets import Option
    from eagleray.flow.plan import Plan
    from eagleray.spec.scale import ZeroSpec

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")
_FITS = {True: ("yes", "green"), False: ("no", "red"), None: ("?", "")}


def parts(plan: Plan) -> Iterator[Table | str]:
    """What is printed, one below the other."""
    yield render(plan.estimate.data)
    yield ""
    facts = Table.grid(padding=(0, 2))
    facts.add_column(no_wrap=True)
    facts.add_column(overflow="fold")
    for name, fact in _facts(plan):
        facts.add_row(name, Text(fact))
    yield facts
    yield ""
    yield _memory(plan)
    yield from _advice(plan)


def size(num_bytes: float) -> str:
    """A size with three digits, as 1.23 GiB."""
    unit = 0
    while num_bytes >= 1000 and unit < len(_UNITS) - 1:
        num_bytes, unit = num_bytes / 1024, unit + 1
    return f"{num_bytes:.3g} {_UNITS[unit]}"


def span(seconds: float) -> str:
    """A time as people say it: 45 s, 12 min, 3.5 h."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 100 * 60 else f"{seconds / 3600:.1f} h"


def _facts(plan: Plan) -> Iterator[tuple[str, str]]:
    found = plan.estimate
    model, length, batches = found.model, found.length, found.batches
    share = model.learning / model.parameters
    yield "model", f"{model.parameters:,} parameters, {model.learning:,} of them learn ({share:.2%})"
    yield "steps", f"{length.total_steps:,}, {length.steps_per_epoch:,} an epoch; {length.tokens:,} tokens"
    least = "about " if batches.is_measured_later else ""
    yield (
        "batch",
        f"{batches.global_batch_size} samples: {_counted(found.num_workers, 'worker')} x {batches.accumulation} x "
        f"{least}{batches.micro_batch_size}",
    )
    tested = f"{length.validation_rows:,} rows, {length.test_rows:,} test rows"
    yield "evaluations", f"{length.num_evaluations:,} of {tested}"
    yield (
        "storage",
        f"{_counted(length.num_checkpoints, 'checkpoint')} of {size(found.checkpoint_bytes)}{_upload(plan)}, "
        f"model {size(found.exported_bytes)}; at most {size(found.storage_bytes)} at a time",
    )
    shape = found.shape
    devices = f"{found.num_workers} x ({shape.num_cpus:g} CPUs, {shape.num_gpus} GPUs)"
    yield "resources", f"{devices}; {plan.place.name} has {plan.place.has}"
    yield from _time(plan)
    yield from (("besides", _besides(each)) for each in plan.besides)
    if plan.sweep is not None:
        trials = plan.sweep.size
        yield (
            "sweep",
            f"{trials.trials} trials of up to {trials.steps_each:,} steps: {trials.steps:,} steps, with pruning about "
            f"{trials.expected_steps:,} ({trials.expected_steps / trials.steps:.0%})"
            f"{f', then {trials.final_steps:,} of the last run' if trials.final_steps else ''}{_hours(plan)}",
        )
    if plan.price is not None:
        price = f"{plan.price:,.2f}" if plan.price >= 1 else f"{plan.price:.2g}"
        yield "price", f"{price}, at {plan.price_an_hour:g} for a device and hour"


def _besides(runs: Besides) -> str:
    most = "at most " if runs.num_runs > 1 else ""
    takes = f", about {span(runs.seconds)}" if runs.seconds is not None else ""
    short = "; it does not fit" if runs.fits is False else ""
    return (
        f"{runs.name}: {most}{runs.steps:,} steps{takes}; a worker's peak {size(runs.peak_bytes)}{short}; "
        f"at most {size(runs.storage_bytes)} of storage"
    )


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' if number != 1 else ''}"


def _upload(plan: Plan) -> str:
    if plan.measured is None:
        return ""
    seconds = plan.estimate.checkpoint_bytes / plan.measured.upload_bytes_per_s
    return f", uploaded in {span(seconds)} beside training"


def _time(plan: Plan) -> Iterator[tuple[str, str]]:
    if plan.duration is None or plan.measured is None:
        yield "time", "--probe measures it"
        return
    takes, kind = plan.duration, "GPU" if plan.estimate.shape.num_gpus else "CPU"
    yield (
        "time",
        f"about {span(takes.total_s)}: start {span(takes.startup_s)}, training {span(takes.training_s)} "
        f"({plan.measured.step_s:.3g} s a step), evaluations {span(takes.evaluation_s)}; "
        f"{takes.device_hours:.3g} {kind}-hours",
    )


def _hours(plan: Plan) -> str:
    if plan.sweep is None or plan.sweep.device_hours is None:
        return ""
    return f"; {plan.sweep.expected_device_hours:.3g} device-hours instead of {plan.sweep.device_hours:.3g}"


def _memory(plan: Plan) -> Table:
    table = Table(box=None, pad_edge=False)
    has = plan.estimate.worker_bytes
    for column in ("ZeRO", "micro batch", "weights", "gradients", "optimizer", "activations", "peak", "fits"):
        table.add_column(column, justify="left" if column == "ZeRO" else "right", no_wrap=True)
    table.title = f"memory of a worker{f', which may take {size(has)}' if has else ''}"
    table.title_justify, table.title_style = "left", ""
    for option in plan.estimate.memory:
        budget = option.budget
        table.add_row(
            f"{'>' if option.is_chosen else ' '} {_way(option.zero)}",
            str(option.micro_batch_size),
            *(size(each) for each in (budget.weights, budget.gradients, budget.optimizer, budget.activations)),
            size(budget.peak),
            Text(*_FITS[option.fits]),
        )
    return table


def _way(zero: ZeroSpec) -> str:
    offloaded = "+optimizer" * zero.offload_optimizer + "+weights" * zero.offload_parameters
    return f"{zero.stage}{f' {offloaded} in host' if offloaded else ''}"


def _advice(plan: Plan) -> Iterator[str]:
    chosen, best = plan.estimate.chosen, plan.estimate.recommended
    if plan.misfit:
        yield f"\nIt does not fit: {plan.misfit}"
    if chosen.fits is False:
        yield f"\nA worker has too little memory. {_instead(best)}"
    elif best is not None and best is not chosen and best.zero.stage < chosen.zero.stage:
        yield f"\nscale.zero.stage {best.zero.stage} is enough, and moves less in each step."


def _instead(best: Option | None) -> str:
    if best is None:
        return (
            "No stage helps: more workers, method lora, a smaller data.max_length or train.gradient_checkpointing do."
        )
    offload = {"offload_optimizer": best.zero.offload_optimizer, "offload_parameters": best.zero.offload_parameters}
    keys = "".join(f" and scale.zero.{key}=true" for key, is_set in offload.items() if is_set)
    return f"It fits with scale.zero.stage={best.zero.stage}{keys}, train.micro_batch_size={best.micro_batch_size}."
