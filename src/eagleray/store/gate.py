"""May a version take over an alias? Pure, on records."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from eagleray.errors import UserError
from eagleray.spec.promote import GateSpec
from eagleray.store import best
from eagleray.store.lineage import VersionRecord

_ROUNDING = 1e-9
"""0.83 is better than 0.82 by 0.01, whatever binary fractions make of it."""


def of_document(document: Mapping[str, Any]) -> GateSpec | None:
    """The gate in the document of a version; None where it has none. Raises UserError for one that is no gate."""
    promote = document.get("spec", {}).get("promote") or {}
    when = promote.get("when")
    if when is None:
        return None
    try:
        return GateSpec.model_validate(when)
    except ValidationError as error:
        wrong = "; ".join(": ".join([*map(str, each["loc"]), each["msg"]]) for each in error.errors())
        raise UserError(f"spec.promote.when of its document is no gate that this eagleray knows ({wrong})") from error


def objections(candidate: VersionRecord, current: VersionRecord | None, when: GateSpec) -> list[str]:
    """What speaks against the candidate in the place of `current`; empty where it may be promoted."""
    split = "test" if "test" in candidate.metrics else "validation"
    value = best.value_of(candidate.metrics.get(split, {}), when.metric)
    if value is None:
        return [f"version {candidate.version} has no {when.metric} on {split}: {_there_is(candidate, split)}"]
    return [*_threshold(value, split, when), *_comparison(candidate, current, when, value=value, split=split)]


def _threshold(value: float, split: str, when: GateSpec) -> Iterator[str]:
    said = f"{when.metric} on {split} is {value:.6g}, asked for is"
    if when.at_least is not None and value < when.at_least:
        yield f"{said} at least {when.at_least:.6g}"
    if when.at_most is not None and value > when.at_most:
        yield f"{said} at most {when.at_most:.6g}"


def _comparison(
    candidate: VersionRecord, current: VersionRecord | None, when: GateSpec, *, value: float, split: str
) -> Iterator[str]:
    if when.better_by is None or current is None:
        return
    rows = candidate.evaluated_on.get(split)
    if rows is None or rows != current.evaluated_on.get(split):
        yield (
            f"versions {candidate.version} and {current.version} were not evaluated on the same {split} rows, so that "
            f"none can be called better by {when.better_by:.6g}: train one of them again with the {split} rows of the "
            "other"
        )
        return
    theirs = best.value_of(current.metrics.get(split, {}), when.metric)
    if theirs is None:
        yield f"version {current.version} has no {when.metric} on {split} to be compared with"
        return
    gain = value - theirs if when.mode == "max" else theirs - value
    if gain < when.better_by - _ROUNDING:
        yield (
            f"{when.metric} on {split} is {value:.6g}, that of version {current.version} is {theirs:.6g}, asked for is "
            f"better by {when.better_by:.6g}"
        )


def _there_is(version: VersionRecord, split: str) -> str:
    measured = version.metrics.get(split, {})
    names = [name for name in measured if best.value_of(measured, name) is not None]
    return f"it has {', '.join(names)}" if names else "it was not evaluated"
