"""The exceptions that eagleray raises on purpose, and the exit code of each.

EaglerayError                 exit 1: the run failed
├── UserError                 exit 2: the document, the arguments or the data are wrong and the user can mend them
│   ├── DocumentError         the document does not validate; carries every finding
│   ├── DataError             rows, columns or labels are wrong
│   │   └── BadSamples        samples that cannot be batched; says how to go on without them
│   └── ModelSourceError      a model that cannot be found or must not be loaded
├── StorageError              the storage refused: no permission, full, gone
├── ClusterError              the cluster cannot hold the run, or went away
├── Interrupted               exit 130 or 143: stopped on request, saved; says how to go on
└── TrainingError             a worker failed; says where its traceback is
    ├── OutOfMemory           a worker ran out of memory at a known micro batch
    ├── NotFinite             loss or gradient were not finite for several steps
    └── PeerFailed            another worker failed, and says why

Every message says what was given, what is allowed and what to do next. Nothing else than these is caught at the
edge of the command line without a traceback in a file.
"""

from __future__ import annotations

from dataclasses import dataclass


class EaglerayError(Exception):
    """Base of all errors raised on purpose."""

    exit_code = 1


class UserError(EaglerayError):
    """Something that the user can mend in the document, the arguments or the data."""

    exit_code = 2


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong in a document: where, and what to do about it."""

    path: str  # "spec.train.learning_rate"; "" for the whole document
    message: str  # what was given, what is allowed, how to mend it
    line: int | None = None  # 1-based, None where the value did not come from the file
    source: str = ""  # the file, or "--set"

    def __str__(self) -> str:
        place = self.source + (f":{self.line}" if self.line is not None else "")
        return ": ".join(part for part in (place, self.path, self.message) if part)


class DocumentError(UserError):
    """A document that does not validate."""

    def __init__(self, findings: list[Finding]) -> None:
        self.findings = findings
        super().__init__("\n".join(str(finding) for finding in findings))


class DataError(UserError):
    """Rows, columns or labels that cannot be used as the document asks."""


class BadSamples(DataError):
    """Training samples that raise when they are batched."""


class ModelSourceError(UserError):
    """A model that cannot be found, or that must not be loaded as it is."""


class StorageError(EaglerayError):
    """The storage refused an operation."""


class ClusterError(EaglerayError):
    """The cluster cannot hold the run, or was lost."""


class Interrupted(EaglerayError):
    """The run was stopped by a signal."""

    def __init__(self, message: str, *, exit_code: int) -> None:
        self.exit_code = exit_code
        super().__init__(message)


class TrainingError(EaglerayError):
    """A worker failed."""


class OutOfMemory(TrainingError):
    """A worker ran out of memory."""


class PeerFailed(TrainingError):
    """Another worker failed; its own error says why."""


class NotFinite(TrainingError):
    """Loss or gradient were not finite for several steps."""
