"""Who may do what: Role-based access, as a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tests.support.fake_kubernetes.resources import Resource
from tests.support.fake_kubernetes.status import Refusal


@dataclass(frozen=True, slots=True)
class Allowed:
    """A rule of a Role; `*` for all."""

    verbs: tuple[str, ...]
    groups: tuple[str, ...]
    resources: tuple[str, ...]
    names: tuple[str, ...] = ()
    namespaces: tuple[str, ...] = ()

    def holds(self, verb: str, resource: Resource, *, sub: str, namespace: str, name: str) -> bool:
        """Whether it allows this."""
        called = f"{resource.plural}/{sub}" if sub else resource.plural
        return (
            _has(self.verbs, verb)
            and _has(self.groups, resource.group)
            and _has(self.resources, called)
            and (not self.names or name in self.names)
            and (not self.namespaces or namespace in self.namespaces)
        )


def check(
    rules: Sequence[Allowed], user: str, verb: str, resource: Resource, *, sub: str, namespace: str, name: str
) -> None:
    """Raise Refusal where no rule allows it."""
    if any(rule.holds(verb, resource, sub=sub, namespace=namespace, name=name) for rule in rules):
        return
    what = f"{resource.called} {chr(34) + name + chr(34) if name else ''}".strip()
    called = f"{resource.plural}/{sub}" if sub else resource.plural
    place = f'in the namespace "{namespace}"' if namespace else "at the cluster scope"
    raise Refusal(
        403,
        "Forbidden",
        f'{what} is forbidden: User "{user}" cannot {verb} resource "{called}" in API group "{resource.group}" {place}',
    )


def _has(allowed: tuple[str, ...], asked: str) -> bool:
    return "*" in allowed or asked in allowed
