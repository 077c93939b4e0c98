"""What does a metric of the user's own say of all rows of a split? A Python function, or a metric of `evaluate`.

The code is the user's, so whatever it raises is theirs to mend: it is told where it happened, not as a fault of ours.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import math
import sys
import traceback
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from eagleray.errors import UserError
from eagleray.metrics.pairs import Pairs
from eagleray.spec.metrics import EvaluateMetricSpec, FunctionMetricSpec, MetricSpec, files

Value = Callable[[Pairs, Sequence[str], Path], Any]
"""What a metric returns for all rows, given the labels whose places are their numbers and a folder for its files."""


@dataclass(frozen=True, slots=True)
class OwnMetric:
    """A metric that is ready to be asked."""

    name: str
    place: str  # in the document: "spec.metrics[0]"
    file: str  # what its code is called, in messages
    result: str | None
    value: Value

    def number(self, pairs: Pairs, *, labels: Sequence[str], scratch: Path) -> float:
        """What it says of these rows. Raises UserError where that is no number, or its code raises."""
        try:
            returned = self.value(pairs, labels, scratch)
        except Exception as error:
            told = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
            raise UserError(
                f"{self.place}: {self.name} raised {told} ({_where(error, self.file)}), given {len(pairs)} rows"
            ) from error
        return self._number(self._chosen(returned))

    def _chosen(self, returned: Any) -> Any:
        if not isinstance(returned, Mapping):
            if self.result is None:
                return returned
            raise UserError(
                f"{self.place}.result: {self.name} returned {returned!r:.100}, which has no {self.result}: leave it out"
            )
        wanted = self.result or (next(iter(returned)) if len(returned) == 1 else self.name)
        if wanted not in returned:
            told = ", ".join(map(str, returned)) or "nothing"
            raise UserError(f"{self.place}.result: {self.name} returned no {wanted}, but {told}: name one of them")
        return returned[wanted]

    def _number(self, value: Any) -> float:
        try:
            number = float(value)
        except (TypeError, ValueError):
            number = math.nan
        if isinstance(value, str) or not math.isfinite(number):
            raise UserError(
                f"{self.place}: {self.name} returned {value!r:.100} and must return a finite number: have it return "
                "one for such rows, too"
            )
        return number


def sha256(specs: Sequence[MetricSpec]) -> str:
    """One hash for the files that metrics are read from, wherever they lie; "" where there are none.

    What they import in turn is not looked at.
    """
    digest = hashlib.sha256()
    read = files(specs)
    for place, source in sorted(read.items()):
        named = Path(source)
        scripts = sorted(named.rglob("*.py")) if named.is_dir() else [named]
        for script in (each for each in scripts if each.is_file()):
            digest.update(f"{place}:{script.name}:{hashlib.sha256(script.read_bytes()).hexdigest()};".encode())
    return digest.hexdigest() if read else ""


def build(specs: Sequence[MetricSpec]) -> tuple[OwnMetric, ...]:
    """Load the code of metrics. Raises UserError where it is not there, is none, or must not be run."""
    return tuple(_build(spec, f"spec.metrics[{number}]") for number, spec in enumerate(specs))


def check(specs: Sequence[MetricSpec]) -> None:
    """Raise UserError for what of the code can be found wrong in a moment; the hub is not asked."""
    for number, spec in enumerate(specs):
        place = f"spec.metrics[{number}]"
        if isinstance(spec, FunctionMetricSpec):
            _function(spec, place)
        else:
            _check_script(spec, place)


def _build(spec: MetricSpec, place: str) -> OwnMetric:
    if isinstance(spec, FunctionMetricSpec):
        call = _function(spec, place)
        options = dict(spec.options)

        def value(pairs: Pairs, labels: Sequence[str], scratch: Path) -> Any:
            return call(pairs.said, pairs.true, **options)

        return OwnMetric(spec.name, place, Path(spec.place).name, spec.result, value)
    _check_script(spec, place)
    from eagleray.metrics import evaluated  # brings `evaluate`: seconds that no other document has to wait

    loaded = evaluated.build(spec.source, config=spec.config, options=spec.options, place=place)
    return OwnMetric(spec.name, place, Path(spec.source).name, spec.result, loaded)


def _check_script(spec: EvaluateMetricSpec, place: str) -> None:
    if spec.is_of_hub:
        if not spec.allow_remote_code:
            raise UserError(
                f"{place}.allow_remote_code: {spec.source} is no file beside the document, so it would be a metric of "
                "the hub, whose code is run: set it to true if you have read and trust it, or give a path"
            )
        return
    path = Path(spec.source)
    script = path if path.suffix == ".py" else path / f"{path.name}.py"
    if not script.is_file():
        raise UserError(
            f"{place}.source: there is no {script}: give the script of a metric, or a folder that has one of its name"
        )


def _function(spec: FunctionMetricSpec, place: str) -> Callable[..., Any]:
    try:
        module = _module(spec)
    except FileNotFoundError:
        raise UserError(f"{place}.source: there is no file {spec.place}: check the path") from None
    except Exception as error:
        raise UserError(
            f"{place}.source: {spec.place} cannot be imported: {type(error).__name__}: {error} "
            f"({_where(error, Path(spec.place).name)}); give `file.py:function`, or `module:function` of what is "
            "installed or lies beside the document"
        ) from error
    found = getattr(module, spec.function, None)
    if not callable(found):
        functions = [name for name, _ in inspect.getmembers(module, inspect.isfunction) if not name.startswith("_")]
        names = ", ".join(functions) or "none"
        raise UserError(f"{place}.source: {spec.place} has no function {spec.function}; its functions: {names}")
    return found  # type: ignore[no-any-return]  # it is callable, and what it returns is looked at


def _module(spec: FunctionMetricSpec) -> ModuleType:
    if not spec.place.endswith(".py"):
        return importlib.import_module(spec.place)
    name = f"eagleray_metric_{Path(spec.place).stem}_{zlib.crc32(spec.place.encode()):08x}"
    found = importlib.util.spec_from_file_location(name, spec.place)
    assert found is not None and found.loader is not None, "files that end in .py have a loader"
    module = importlib.util.module_from_spec(found)
    sys.modules[name] = module  # where a dataclass looks for the names of its module
    found.loader.exec_module(module)
    return module


def _where(error: Exception, file: str) -> str:
    """The last line of the user's code that was on the way."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if Path(frame.filename).name == file] or list(frames)
    return f"{Path(own[-1].filename).name}:{own[-1].lineno}" if own else file
