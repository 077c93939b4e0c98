"""What goes wrong on purpose: refusals, lost connections, and an end after so many writes."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.support.fake_kubernetes.status import Refusal

_REASONS = {409: "Conflict", 410: "Expired", 429: "TooManyRequests", 500: "InternalError", 503: "ServiceUnavailable"}


class Dropped(Exception):
    """The connection is closed without an answer."""


@dataclass(slots=True)
class Fault:
    """Requests that are answered wrongly, so many times."""

    status: int | None = None
    """What they get; None: their connection is dropped."""
    verbs: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    times: int = 1
    retry_after_s: int | None = None
    after: bool = False
    """The request is carried out first, and its answer lost."""

    def meets(self, verb: str, plural: str) -> bool:
        """Whether it is for this request."""
        return (
            self.times > 0
            and (not self.verbs or verb in self.verbs)
            and (not self.resources or plural in self.resources)
        )

    def strike(self) -> None:
        """Raise what it is."""
        self.times -= 1
        if self.status is None:
            raise Dropped
        raise Refusal(
            self.status,
            _REASONS.get(self.status, "Unknown"),
            f"injected {self.status}",
            retry_after_s=self.retry_after_s,
        )


@dataclass(slots=True)
class Faults:
    """All that are to come."""

    pending: list[Fault] = field(default_factory=list)
    last_write: int | None = None
    """The number of the write after which nobody gets an answer any more."""

    def before(self, verb: str, plural: str, *, writes: int) -> None:
        """Called before a request is carried out."""
        if self.last_write is not None and writes >= self.last_write:
            raise Dropped
        self._strike(verb, plural, after=False)

    def after(self, verb: str, plural: str, *, writes: int) -> None:
        """Called after a write was carried out."""
        if self.last_write is not None and writes >= self.last_write:
            raise Dropped
        self._strike(verb, plural, after=True)

    def _strike(self, verb: str, plural: str, *, after: bool) -> None:
        for each in self.pending:
            if each.after is after and each.meets(verb, plural):
                each.strike()
