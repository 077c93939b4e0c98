"""A document's way from a file to a validated, immutable value, and back to text."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import ValidationError

from eagleray.errors import DocumentError, Finding, UserError
from eagleray.spec import findings, origins, space, yaml_text
from eagleray.spec.base import Conflict, Spec
from eagleray.spec.finetune import FineTune
from eagleray.spec.origins import Origin
from eagleray.spec.overrides import overlay
from eagleray.spec.serving import Endpoint

__all__ = ["Loaded", "Origin", "dump", "kind", "load", "load_endpoint", "loads", "loads_endpoint"]

Root = TypeVar("Root", bound=Spec)

# UTF-8 needs at most four bytes a character; one byte more shows that there is more.
_MAX_BYTES = 4 * yaml_text.MAX_CHARACTERS + 1


@dataclass(frozen=True, slots=True)
class Loaded:
    """A document, with where each of its values came from."""

    document: FineTune
    origins: dict[str, Origin]  # every leaf by its path, in the order of the document
    text: str  # as it stands in the file, without overrides
    path: Path


def load(path: Path, *, overrides: Sequence[str] = ()) -> Loaded:
    """Read and validate a file. Raises UserError where it cannot be read, DocumentError with every finding."""
    return loads(_read(path), source=str(path), overrides=overrides)


def loads(text: str, *, source: str, overrides: Sequence[str] = ()) -> Loaded:
    """Validate a text; `source` names it in findings. Raises DocumentError with every finding."""
    document, marks = _loads(text, FineTune, conflicts=space.conflicts, source=source, overrides=overrides)
    return Loaded(document, origins.of_leaves(document, marks), text, Path(source))


def load_endpoint(path: Path, *, overrides: Sequence[str] = ()) -> Endpoint:
    """The same as `load` for a document of kind Endpoint."""
    return loads_endpoint(_read(path), source=str(path), overrides=overrides)


def loads_endpoint(text: str, *, source: str, overrides: Sequence[str] = ()) -> Endpoint:
    """The same as `loads` for a document of kind Endpoint."""
    document, _ = _loads(text, Endpoint, conflicts=_no_conflicts, source=source, overrides=overrides)
    return document


def kind(path: Path) -> str:
    """What a file says it is; "" where it does not say. Raises UserError where it cannot be read."""
    value = yaml_text.parse(_read(path), source=str(path)).value
    return str(value.get("kind", "")) if isinstance(value, dict) else ""


def dump(document: FineTune) -> str:
    """The document as YAML, every value written out; it loads back equal."""
    return yaml.dump(
        document.model_dump(mode="json"),
        Dumper=yaml_text.Dumper,
        sort_keys=False,
        default_flow_style=False,
        allow_unicode=True,
        width=float("inf"),
    )


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES)
    except FileNotFoundError as error:
        raise UserError(f"{path}: there is no such file{_similar(path)}") from error
    except IsADirectoryError as error:
        raise UserError(f"{path}: is a directory; give one document in it{_documents_in(path)}") from error
    except PermissionError as error:
        raise UserError(f"{path}: no permission to read it: have its owner give it to you") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error
    if len(data) == _MAX_BYTES:
        raise UserError(f"{path}: larger than {_MAX_BYTES // 1_000_000} MB: this is no document")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        message = f"byte {data[error.start]:#04x} is not UTF-8: save the file as UTF-8"
        raise DocumentError([Finding("", message, line, str(path))]) from error


def _similar(path: Path) -> str:
    hint = findings.did_you_mean(path.name, _yaml_names(path.parent))
    return f"; {hint}" if hint else ""


def _documents_in(folder: Path) -> str:
    names = _yaml_names(folder)
    return f": {', '.join(names[:5])}" if names else ""


def _yaml_names(folder: Path) -> list[str]:
    try:
        return sorted(entry.name for entry in folder.iterdir() if entry.suffix in (".yaml", ".yml"))
    except OSError:
        return []


def _no_mapping(value: Any, *, source: str) -> Finding:
    if value is None:
        return Finding("", "the document is empty: it needs kind, metadata and spec", None, source)
    given = "a list" if isinstance(value, list) else "a single value"
    return Finding("", f"expected a mapping with the keys kind, metadata and spec, got {given}", 1, source)


def _loads(
    text: str,
    root: type[Root],
    *,
    conflicts: Callable[[Root], Iterable[Conflict]],
    source: str,
    overrides: Sequence[str],
) -> tuple[Root, origins.Marks]:
    parsed = yaml_text.parse(text, source=source)
    if not isinstance(parsed.value, dict):
        raise DocumentError([_no_mapping(parsed.value, source=source)])
    in_file = {place: Origin("document", line) for place, line in parsed.lines.items()}
    overlaid = overlay(parsed.value, in_file, overrides, root=root)
    document, wrong = _validate(overlaid.data, root, conflicts=conflicts, marks=overlaid.marks, source=source)
    # A value that could not be read is missing for the validation, too: one finding a place is enough.
    known = {finding.path for finding in parsed.findings}
    found = [*parsed.findings, *overlaid.findings, *(finding for finding in wrong if finding.path not in known)]
    if document is None or found:
        raise DocumentError(sorted(found, key=lambda finding: (finding.line is None, finding.line or 0)))
    return document, overlaid.marks


def _no_conflicts(document: Endpoint) -> tuple[Conflict, ...]:
    return ()


def _validate(
    data: dict[str, Any],
    root: type[Root],
    *,
    conflicts: Callable[[Root], Iterable[Conflict]],
    marks: origins.Marks,
    source: str,
) -> tuple[Root | None, list[Finding]]:
    unknown = findings.of_header(data, root=root, marks=marks, source=source)
    if unknown:
        return None, unknown
    try:
        # JSON mode, because strict Python mode refuses a list for a tuple.
        document = root.model_validate_json(json.dumps(data))
    except ValidationError as error:
        return None, findings.of_error(error, root=root, marks=marks, source=source)
    return document, findings.of_conflicts(conflicts(document), marks=marks, source=source)
