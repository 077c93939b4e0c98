"""How is the training state written down, so that any number of workers at any ZeRO stage reads it back?

One safetensors file a rank: for each fragment it holds, `weight/<parameter>` and `<moment>/<parameter>`, (numel,) fp32;
where the fragment lies in its parameter is in the header. A reader takes the slices it needs from whichever files have
them, so a checkpoint of four workers at stage 3 restores one worker at stage 0 without a conversion. Beside them lies
what a rank has for itself: random states and buffers.
"""

from __future__ import annotations

import json
import random
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from eagleray.errors import StorageError
from eagleray.train.fragments import Fragment

WEIGHT = "weight"
_BUFFER = "buffer"
_RANDOM = "random"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Copies of what a rank holds, on the CPU: training may go on while they are written."""

    tensors: dict[str, torch.Tensor]
    header: dict[str, str]

    @property
    def size_bytes(self) -> int:
        """Bytes of all tensors."""
        return sum(tensor.numel() * tensor.element_size() for tensor in self.tensors.values())

    def write(self, path: Path) -> None:
        """Write the file of this rank."""
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(self.tensors, path, metadata=self.header)


def snapshot(fragments: Iterable[Fragment], *, buffers: Mapping[str, torch.Tensor], device: torch.device) -> Snapshot:
    """Copy fragments, buffers and the random states of this process."""
    tensors = {f"{_BUFFER}/{name}": _copy(buffer) for name, buffer in buffers.items()}
    places: dict[str, list[int]] = {}
    scalars: dict[str, dict[str, float]] = {}
    for fragment in fragments:
        places[fragment.name] = [fragment.start, fragment.whole]
        scalars[fragment.name] = fragment.scalars()
        tensors[f"{WEIGHT}/{fragment.name}"] = _copy(fragment.weight)
        for key, moment in fragment.moments().items():
            tensors[f"{key}/{fragment.name}"] = _copy(moment)
    tensors |= {f"{_RANDOM}/{name}": state for name, state in _random_tensors(device).items()}
    header = {"fragments": json.dumps(places), "scalars": json.dumps(scalars), _RANDOM: json.dumps(_random_values())}
    return Snapshot(tensors, header)


class StateFiles:
    """The state files of a checkpoint that are on this machine: all of them, or those that a rank needs."""

    def __init__(self, paths: Mapping[int, Path]) -> None:
        """Open files by the rank that wrote them."""
        self._files: dict[int, Any] = {rank: safe_open(path, "pt", device="cpu") for rank, path in paths.items()}
        self._places: dict[str, list[tuple[int, int, int]]] = defaultdict(list)  # start, stop, rank
        self._scalars: dict[str, dict[str, float]] = {}
        self._moments: dict[str, set[str]] = defaultdict(set)
        self._whole: dict[str, int] = {}
        for rank, file in self._files.items():
            self._index(rank, file)

    @property
    def parameters(self) -> dict[str, int]:
        """Learning parameters by name, and how many elements each has."""
        return self._whole

    def cover(self, fragments: Iterable[Fragment]) -> bool:
        """Whether every element of the fragments is in these files."""
        return all(
            fragment.whole == self._whole.get(fragment.name)
            and sum(stop - start for start, stop, _ in self._overlaps(fragment)) == fragment.numel
            for fragment in fragments
        )

    def restore(self, fragments: Iterable[Fragment]) -> None:
        """Write weights, moments and step counts into fragments that these files cover."""
        for fragment in fragments:
            self._read(WEIGHT, fragment, into=fragment.weight)
            for key in sorted(self._moments[fragment.name]):
                self._read(key, fragment, into=fragment.moment(key))
            fragment.set_scalars(self._scalars[fragment.name])

    def restore_weights(self, fragments: Iterable[Fragment]) -> None:
        """Write the weights alone."""
        for fragment in fragments:
            self._read(WEIGHT, fragment, into=fragment.weight)

    def restore_own(self, rank: int, *, buffers: Mapping[str, torch.Tensor], device: torch.device) -> bool:
        """Restore what this rank had for itself; False, and only the first rank's buffers, where it was not there."""
        file = self._files.get(rank)
        if file is None or _RANDOM not in file.metadata():
            file = self._files[min(self._files)]
        for name, buffer in buffers.items():
            buffer.copy_(file.get_tensor(f"{_BUFFER}/{name}"))
        was_there = file is self._files.get(rank)
        if was_there:
            _set_random(file, json.loads(file.metadata()[_RANDOM]), device)
        return was_there

    def read(self, key: str, name: str, start: int, stop: int) -> torch.Tensor:
        """Elements `start` to `stop` of the flattened parameter: (stop - start,) fp32."""
        whole = torch.empty(stop - start)
        for first, last, rank in self._places[name]:
            low, high = max(first, start), min(last, stop)
            if low < high:
                part = self._files[rank].get_slice(f"{key}/{name}")
                whole[low - start : high - start] = part[low - first : high - first]
        return whole

    def moments(self, name: str) -> list[str]:
        """What the optimizer kept for a parameter."""
        return sorted(self._moments[name])

    def scalars(self, name: str) -> dict[str, float]:
        """What it kept once for all of the parameter."""
        return self._scalars[name]

    def _index(self, rank: int, file: Any) -> None:
        header = file.metadata()
        self._scalars |= json.loads(header["scalars"])
        keys = set(file.keys())
        for name, (start, whole) in json.loads(header["fragments"]).items():
            (numel,) = file.get_slice(f"{WEIGHT}/{name}").get_shape()
            self._places[name].append((start, start + numel, rank))
            self._whole[name] = whole
        for kind, _, name in (key.partition("/") for key in keys):
            if kind not in (WEIGHT, _BUFFER, _RANDOM):
                self._moments[name].add(kind)

    def _overlaps(self, fragment: Fragment) -> list[tuple[int, int, int]]:
        stop = fragment.start + fragment.numel
        found = [(max(a, fragment.start), min(b, stop), rank) for a, b, rank in self._places[fragment.name]]
        return [(a, b, rank) for a, b, rank in found if a < b]

    def _read(self, key: str, fragment: Fragment, *, into: torch.Tensor) -> None:
        into.copy_(self.read(key, fragment.name, fragment.start, fragment.start + fragment.numel))


def reshape(paths: Sequence[Path], directory: Path, *, num_workers: int) -> list[Path]:
    """Cut the state in `paths` (in the order of their ranks) anew into the files of `num_workers` ranks.

    Random states stay with the ranks that are still there; a rank that is new has none and draws its own.
    """
    files = StateFiles(dict(enumerate(paths)))
    written = []
    for rank in range(num_workers):
        path = directory / f"{rank:05d}.safetensors"
        _share(files, rank, num_workers, own=_own(paths[rank]) if rank < len(paths) else {}).write(path)
        written.append(path)
    return written


def _share(files: StateFiles, rank: int, num_workers: int, *, own: dict[str, Any]) -> Snapshot:
    tensors: dict[str, torch.Tensor] = dict(own.get("tensors", {}))
    places, scalars = {}, {}
    for name, whole in files.parameters.items():
        start, stop = (whole * r // num_workers for r in (rank, rank + 1))
        if start == stop:
            continue
        places[name], scalars[name] = [start, whole], files.scalars(name)
        for key in (WEIGHT, *files.moments(name)):
            tensors[f"{key}/{name}"] = files.read(key, name, start, stop)
    header = {"fragments": json.dumps(places), "scalars": json.dumps(scalars)}
    return Snapshot(tensors, header | own.get("header", {}))


def _own(path: Path) -> dict[str, Any]:
    with safe_open(path, "pt", device="cpu") as file:
        keys = [key for key in file.keys() if key.partition("/")[0] in (_BUFFER, _RANDOM)]  # noqa: SIM118  # no dict
        return {
            "tensors": {key: file.get_tensor(key) for key in keys},
            "header": {_RANDOM: header[_RANDOM]} if _RANDOM in (header := file.metadata()) else {},
        }


def incomplete(place: str) -> StorageError:
    """The error where the files of a checkpoint do not cover the model."""
    return StorageError(f"{place}: the training state lacks weights that this model has: it is of another model")


def _copy(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.detach().to("cpu", copy=True).contiguous()


def _random_tensors(device: torch.device) -> dict[str, torch.Tensor]:
    states = {"torch": torch.get_rng_state()}
    return states | ({"cuda": torch.cuda.get_rng_state(device)} if device.type == "cuda" else {})


def _random_values() -> dict[str, Any]:
    name, keys, *rest = np.random.get_state(legacy=True)
    return {"python": random.getstate(), "numpy": [name, np.asarray(keys).tolist(), *rest]}


def _set_random(file: Any, values: dict[str, Any], device: torch.device) -> None:
    torch.set_rng_state(file.get_tensor(f"{_RANDOM}/torch"))
    if device.type == "cuda" and f"{_RANDOM}/cuda" in file.keys():  # noqa: SIM118  # no dict
        torch.cuda.set_rng_state(file.get_tensor(f"{_RANDOM}/cuda"), device)
    version, internal, gauss = values["python"]
    random.setstate((version, tuple(internal), gauss))
    name, keys, *rest = values["numpy"]
    np.random.set_state((name, np.array(keys, dtype=np.uint32), *rest))
