"""Which version of which registered model is meant: NAME, NAME@3 or NAME@champion."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass

from eagleray.errors import UserError
from eagleray.store import paths

_VERSION = re.compile(r"[1-9][0-9]{0,8}")


@dataclass(frozen=True, slots=True)
class Reference:
    """A version by its number or by an alias; with neither the newest."""

    name: str
    version: int | None = None
    alias: str | None = None

    def __str__(self) -> str:
        which = self.alias if self.version is None else self.version
        return self.name if which is None else f"{self.name}@{which}"


def parse(text: str) -> Reference:
    """Read a reference. Raises UserError where it is none."""
    name, separator, which = text.partition("@")
    if paths.is_name(name):
        if not separator:
            return Reference(name)
        if _VERSION.fullmatch(which):
            return Reference(name, version=int(which))
        if paths.is_alias(which):
            return Reference(name, alias=which)
    raise UserError(
        f"{text!r} names no registered model: give NAME for its newest version, NAME@3 for a version or NAME@champion "
        "for an alias; names are made of at most 40 of a-z, 0-9 and '-', and versions count from 1"
    )


def unknown(what: str, given: str, *, known: Sequence[str], where: str, or_else: str) -> UserError:
    """The error that tells what there is instead, and where there is nothing what to do."""
    if not known:
        return UserError(f"there is no {what} {given!r} {where}, nor any other: {or_else}")
    close = difflib.get_close_matches(given, known, n=3)
    hint = f"did you mean {' or '.join(close)}? " if close else ""
    return UserError(f"there is no {what} {given!r} {where}: {hint}There is: {', '.join(known)}")
