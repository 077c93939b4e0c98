"""What are the changed copies of the training rows? Rows in, the same rows and their copies out, batch by batch.

What a copy becomes depends on the seed, on the place of its row among the training rows and on the number of the copy,
not on how many processes make it.
"""

from __future__ import annotations

import json
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from pathlib import Path

import numpy as np
import pyarrow as pa

from eagleray.data import arrow, draws, parallel, texts
from eagleray.data.augment.steps import Step
from eagleray.data.draws import Draw
from eagleray.data.encoder import Row
from eagleray.data.rows import stored
from eagleray.data.steps import AugmentReport, TextSample

MAX_SAMPLES = 3


@dataclass(slots=True)
class Copy:
    """A row on its way: number 0 is the row itself, which nothing is done to."""

    position: int  # among the training rows
    number: int
    text: str  # the row as JSON, as it was
    place: str
    row: Row
    taken: list[str] = field(default_factory=list)  # the steps that changed it


def write(
    source: Path,
    numbers: np.ndarray,
    target: Path,
    *,
    steps: tuple[Step, ...],
    keys: tuple[str, ...],
    share: float,
    copies: int,
    seed: int,
    on_rows: Callable[[int], None],
) -> tuple[AugmentReport, np.ndarray]:
    """Write rows `numbers`, ascending, of `source` and their copies to `target`, a copy behind its row.

    `keys` are those of the texts that may be changed. `on_rows(done)` is called after each batch.
    Returns besides which of `numbers` each row was made of, by its position.
    """
    chosen = np.zeros(len(numbers), dtype=bool)
    order = np.argsort(draws.words(len(numbers), "augment", seed), kind="stable")
    chosen[order[: draws.how_many(len(numbers), share)]] = True
    stream: Iterable[list[Copy]] = _copies(source, numbers, chosen, copies=copies)
    for is_translation, together in groupby(steps, key=lambda step: step.translate is not None):
        if is_translation:
            for step in together:
                stream = map(partial(_translated, step=step, keys=keys, seed=seed), stream)
        else:
            stream = parallel.in_order(_Changes(tuple(together), keys=keys, seed=seed), stream)
    tally, positions = _Tally(keys), array("i")
    with arrow.Writer(target) as writer:
        for batch in stream:
            kept = [copy for copy in batch if tally.keeps(copy)]
            columns = {
                "row": pa.array([_json(copy) for copy in kept], pa.string()),
                "place": pa.array([_place(copy) for copy in kept], pa.string()),
            }
            writer.write(pa.RecordBatch.from_pydict(columns))
            positions.extend(copy.position for copy in kept)
            on_rows(len(positions))
    return tally.report(), np.frombuffer(positions, dtype=np.int32)


@dataclass(frozen=True, slots=True)
class _Changes:
    """Steps that any process can take."""

    steps: tuple[Step, ...]
    keys: tuple[str, ...]
    seed: int

    def __call__(self, batch: list[Copy]) -> list[Copy]:
        for copy in batch:
            for step in self.steps if copy.number else ():
                self._take(step, copy)
        return batch

    def _take(self, step: Step, copy: Copy) -> None:
        assert step.change is not None
        draw = Draw("augment", self.seed, copy.position, copy.number, step.number)
        if draw.chance(step.chance):
            change = step.change
            _became(copy, texts.changed(copy.row, self.keys, lambda text: change(text, draw)), step)


def _translated(batch: list[Copy], *, step: Step, keys: tuple[str, ...], seed: int) -> list[Copy]:
    assert step.translate is not None
    going = [
        copy
        for copy in batch
        if copy.number and Draw("augment", seed, copy.position, copy.number, step.number).chance(step.chance)
    ]
    said = [text for copy in going for text in texts.of(copy.row, keys)]
    if said:
        answers = iter(step.translate(said))
        for copy in going:
            _became(copy, texts.changed(copy.row, keys, lambda text: next(answers)), step)
    return batch


def _became(copy: Copy, row: Row, step: Step) -> None:
    if row != copy.row:
        copy.taken.append(step.name)
    copy.row = row


def _copies(source: Path, numbers: np.ndarray, chosen: np.ndarray, *, copies: int) -> Iterator[list[Copy]]:
    position = 0
    for pairs in stored(source, numbers):
        batch = []
        for text, place in pairs:
            row = json.loads(text)
            for number in range(copies + 1 if chosen[position] else 1):
                batch.append(Copy(position, number, text, place, row))
            position += 1
        yield batch


class _Tally:
    """What has come out so far."""

    def __init__(self, keys: tuple[str, ...]) -> None:
        self._keys = keys
        self._copies = 0
        self._unchanged = 0
        self._by_step: Counter[str] = Counter()
        self._samples: list[TextSample] = []

    def keeps(self, copy: Copy) -> bool:
        """Count a copy; False for one that is as its row."""
        if copy.number and copy.row == json.loads(copy.text):
            self._unchanged += 1
            return False
        if copy.number:
            self._copies += 1
            self._by_step.update(dict.fromkeys(copy.taken, 1))
            if len(self._samples) < MAX_SAMPLES:
                before, after = (texts.joined(row, self._keys) for row in (json.loads(copy.text), copy.row))
                self._samples.append(TextSample.around_change(_place(copy), before, after))
        return True

    def report(self) -> AugmentReport:
        return AugmentReport(
            copies=self._copies,
            unchanged=self._unchanged,
            by_step=dict(self._by_step),
            samples=tuple(self._samples),
        )


def _json(copy: Copy) -> str:
    return json.dumps(copy.row, ensure_ascii=False) if copy.number else copy.text


def _place(copy: Copy) -> str:
    return f"{copy.place} ({', '.join(dict.fromkeys(copy.taken))})" if copy.number else copy.place
