"""What do the `datasets` library's own stores hold: directories it saved, and data sets of the Hugging Face Hub?

The only file that imports `datasets`. It is itself imported where such a source is read, not before: `datasets` costs
0.9 s and 90 MB, which files do not need.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import datasets

from eagleray.data.formats import BATCH_ROWS, SourceRow
from eagleray.errors import DataError


def saved_rows(path: Path, *, name: str) -> Iterator[SourceRow]:
    """Yield the rows of a directory that `Dataset.save_to_disk` wrote."""
    try:
        dataset = datasets.load_from_disk(path)
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{path}: not a whole data set directory, save it again: {error}") from error
    yield from _rows(dataset, name=name)


def hub_rows(name: str, *, revision: str | None, split: str) -> Iterator[SourceRow]:
    """Yield the rows of one split of a data set of the Hub."""
    yield from _rows(_from_hub(name, revision=revision, split=split), name=f"{name}#{split}")


def hub_files(name: str, *, revision: str | None, split: str) -> list[Path]:
    """Return the files of the library's cache that hold a split, downloading them where they are not there."""
    return [Path(entry["filename"]) for entry in _from_hub(name, revision=revision, split=split).cache_files]


def _from_hub(name: str, *, revision: str | None, split: str) -> datasets.Dataset:
    try:
        return datasets.load_dataset(name, revision=revision, split=split)
    except ConnectionError as error:
        raise DataError(
            f"hub://{name}: the Hugging Face Hub cannot be reached, and the data set is not in its local cache: "
            "download it where there is a network, `save_to_disk` it, and name that directory; "
            f"if a file was meant: there is none of this name ({error})"
        ) from error
    except (OSError, ValueError, RuntimeError) as error:  # not found, no such split, a loading script
        raise DataError(f"hub://{name}#{split}: {error}") from error


def _rows(dataset: datasets.Dataset, *, name: str) -> Iterator[SourceRow]:
    """Yield rows; class labels, which are stored as numbers, by their names."""
    decoders = {column: decode for column, kind in dataset.features.items() if (decode := _decoder(kind))}
    number = 0
    for columns in dataset.iter(batch_size=BATCH_ROWS):
        for values in zip(*columns.values(), strict=True):
            number += 1
            raw = dict(zip(columns, values, strict=True))
            decoded = {column: decode(raw[column]) for column, decode in decoders.items()}
            yield SourceRow(raw | decoded, f"{name}:{number}")


def _decoder(kind: Any) -> Callable[[Any], Any] | None:
    """How values of a column become what a user calls them; None where they stay."""
    if isinstance(kind, datasets.ClassLabel):
        return lambda value: None if value is None or value < 0 else kind.int2str(value)
    if isinstance(kind, datasets.List) and isinstance(kind.feature, datasets.ClassLabel):
        names = kind.feature
        return lambda values: None if values is None else [names.int2str(value) for value in values]
    return None
