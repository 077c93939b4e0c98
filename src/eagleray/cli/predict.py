"""`eagleray predict`: what a run's model says of each row, as JSON lines."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer

from eagleray.cli import storage as storages
from eagleray.cli.options import Storage
from eagleray.cli.visible import visible_json
from eagleray.errors import StorageError, UserError

if TYPE_CHECKING:
    from eagleray.data.formats import SourceRow

_FLUSHED_ROWS = 100
_PROGRESS_S = {True: 0.5, False: 10.0}  # between two words on progress, on a terminal or in a log


def predict(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run's id, or a name for its newest run.")],
    input_file: Annotated[
        str,
        typer.Option(
            "--input", metavar="FILE", help="Rows as .jsonl, .csv, .tsv or .parquet; - reads JSON lines from stdin."
        ),
    ],
    output_file: Annotated[
        Path | None, typer.Option("--output", metavar="FILE", help="Where to write; left out: stdout.")
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Rows answered at once.")] = 32,
    storage: Storage = None,
) -> None:
    """Answer rows with the final model of a run: one JSON object a row, in the order of the rows.

    A row needs the columns that the run's task reads, without the label. The answer is {"label", "probabilities"},
    {"labels", "probabilities"}, {"value"} or {"text"}, as the task has it.

    \b
    Examples:
      eagleray predict sms-spam --input new.jsonl --output answers.jsonl
      echo '{"text": "a joy to watch"}' | eagleray predict reviews-0001 --input -
    """
    from eagleray.flow.predict import predict as answers

    if output_file is not None and output_file.is_dir():
        raise UserError(f"--output {output_file}: this is a directory, name a file in it")
    results = answers(storages.open_there(storage), run, _rows(input_file), batch_size=batch_size)
    with _writer(output_file) as stream:
        _write(results, stream)


def _rows(source: str) -> Iterator[SourceRow]:
    from eagleray.data.formats import json_lines
    from eagleray.data.sources import read_rows

    return json_lines(sys.stdin.buffer, "stdin") if source == "-" else read_rows(source, split="test")


def _write(results: Iterable[dict[str, Any]], stream: TextIO) -> None:
    progress = _Progress()
    number = 0
    for number, result in enumerate(results, start=1):
        stream.write(visible_json(json.dumps(result, ensure_ascii=False)) + "\n")
        if number % _FLUSHED_ROWS == 0:
            stream.flush()
            progress.show(number)
    stream.flush()
    progress.finish(number)


@contextmanager
def _writer(file: Path | None) -> Iterator[TextIO]:
    """Standard output, or a file that appears when everything is written: half of the answers are no answers."""
    if file is None:
        with _stdout() as stream:
            yield stream
        return
    partial = file.with_name(f".{file.name}.{os.getpid()}.partial")
    try:
        with partial.open("w", encoding="utf-8") as stream:
            yield stream
        partial.replace(file)
    except OSError as error:
        raise StorageError(f"--output {file}: cannot be written: {error.strerror or error}") from error
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def _stdout() -> Iterator[TextIO]:
    try:
        yield sys.stdout
    except BrokenPipeError:
        # The reader has seen enough (`| head`). Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(1) from None


class _Progress:
    """Rows done and rows a second on stderr: one line rewritten on a terminal, now and then a line in a log."""

    def __init__(self) -> None:
        self._live = sys.stderr.isatty()
        self._started = self._shown = time.monotonic()

    def show(self, rows: int) -> None:
        now = time.monotonic()
        if now - self._shown < _PROGRESS_S[self._live]:
            return
        self._shown = now
        typer.echo(("\r" if self._live else "") + self._text(rows), err=True, nl=not self._live)

    def finish(self, rows: int) -> None:
        typer.echo(("\r" if self._live else "") + self._text(rows), err=True)

    def _text(self, rows: int) -> str:
        return f"{rows:,} rows answered, {rows / max(time.monotonic() - self._started, 1e-9):,.0f} rows/s "
