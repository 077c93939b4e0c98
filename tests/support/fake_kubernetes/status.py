"""What does a refusal look like, and which are there?"""

from __future__ import annotations

from typing import Any


class Refusal(Exception):
    """An answer that is not 2xx."""

    def __init__(self, code: int, reason: str, message: str, *, retry_after_s: int | None = None) -> None:
        self.code, self.reason, self.message, self.retry_after_s = code, reason, message, retry_after_s
        super().__init__(message)

    @property
    def body(self) -> dict[str, Any]:
        """The object `Status`."""
        return {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            "code": self.code,
        }


def not_found(what: str, name: str) -> Refusal:
    return Refusal(404, "NotFound", f'{what} "{name}" not found')


def no_such_path() -> Refusal:
    return Refusal(404, "NotFound", "the server could not find the requested resource")


def exists(what: str, name: str) -> Refusal:
    return Refusal(409, "AlreadyExists", f'{what} "{name}" already exists')


def conflict(what: str, name: str, why: str = "the object has been modified; please apply your changes") -> Refusal:
    return Refusal(409, "Conflict", f'Operation cannot be fulfilled on {what} "{name}": {why}')


def invalid(kind: str, name: str, causes: list[str]) -> Refusal:
    return Refusal(422, "Invalid", f'{kind} "{name}" is invalid: {"; ".join(causes)}')


def bad_request(message: str) -> Refusal:
    return Refusal(400, "BadRequest", message)


def expired() -> Refusal:
    return Refusal(410, "Expired", "too old resource version")
