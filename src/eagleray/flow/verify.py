"""Does the endpoint answer a real request, with the version that was promoted?"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from eagleray.errors import ClusterError, EaglerayError, UserError
from eagleray.flow import places
from eagleray.spec.endpoint import EndpointSpec, KeysAuthSpec, NoAuthSpec
from eagleray.spec.serving import ServingSpec
from eagleray.store import keys, references, registry
from eagleray.store.key_homes import FileKeys, StoredKeys
from eagleray.store.keys import KeyHome, KeyRecord, NewKey
from eagleray.store.lineage import VersionRecord
from eagleray.store.objects import Objects

KEY_NAME = "verify"
_KEY_LIVES = timedelta(minutes=30)
_MARGIN_S = 120.0  # beside what a rollout is watched: loading, golden answers, autoscaling
_LOOK_EVERY_S = 0.5


def verify(spec: ServingSpec, objects: Objects, version: VersionRecord, *, say: Callable[[str], None]) -> str:
    """Ask a golden row until the promoted version answers; returns who answered, and where.

    Raises:
        ClusterError: that version does not answer in the time that a rollout takes.
        EaglerayError: the endpoint has taken it back.
    """
    golden = registry.golden(objects, version)
    if not golden:
        return f"nothing to ask: no golden rows were registered with {version.name}@{version.version}"
    endpoint = spec.endpoint
    deadline = time.monotonic() + _longest_s(endpoint)
    say(f"asking for an answer of {version.name}@{version.version}")
    with momentary_key(endpoint, objects) as key:
        body = {"inputs": [golden[0].input]}
        while (told := _answer(endpoint, body, key)) != version.version:
            _check_not_taken_back(objects, spec, version)
            if time.monotonic() > deadline:
                raise ClusterError(
                    f"{places.url(endpoint)}/v1/predict does not answer with {version.name}@{version.version}: {told}"
                )
            time.sleep(_LOOK_EVERY_S)
    return f"{version.name}@{version.version} answers at {places.url(endpoint)}"


def first_key(endpoint: EndpointSpec, objects: Objects, *, name: str) -> NewKey | None:
    """Make a key where callers need one and there is none that works."""
    if isinstance(endpoint.auth, NoAuthSpec):
        return None
    home, now = _home(endpoint, objects), datetime.now(UTC)
    if any(record.state(now) == "live" for record in _kept(home)):
        return None
    return keys.create(home, name, now=now)


@contextmanager
def momentary_key(endpoint: EndpointSpec, objects: Objects) -> Iterator[str | None]:
    """A key for this moment: the texts of those that there are nobody knows any more."""
    if isinstance(endpoint.auth, NoAuthSpec):
        yield None
        return
    home, now = _home(endpoint, objects), datetime.now(UTC)
    made = keys.create(home, KEY_NAME, now=now, expires_at=now + _KEY_LIVES)
    try:
        yield made.text
    finally:
        keys.revoke(home, KEY_NAME, number=made.record.number, now=datetime.now(UTC))


def _answer(endpoint: EndpointSpec, body: Any, key: str | None) -> int | str:
    """The version that answered, or what else was said."""
    try:
        status, answer = places.ask(
            endpoint, "/v1/predict", body=body, key=key, timeout_s=endpoint.limits.request_timeout_s
        )
    except ClusterError as error:
        return str(error.__cause__)
    version = answer.get("version")
    return version if isinstance(version, int) else f"status {status}, {answer.get('detail', 'no problem is told')}"


def _home(endpoint: EndpointSpec, objects: Objects) -> KeyHome:
    file = endpoint.auth.file if isinstance(endpoint.auth, KeysAuthSpec) else None
    return FileKeys(Path(file)) if file else StoredKeys(objects)


def _kept(home: KeyHome) -> list[KeyRecord]:
    try:
        return home.records()
    except UserError:  # a keys file that is not there yet
        return []


def _longest_s(endpoint: EndpointSpec) -> float:
    """What a rollout may take: each of its steps is watched."""
    rollout = endpoint.rollout
    return (len(rollout.steps) + rollout.shadow) * rollout.watch_s + _MARGIN_S


def _check_not_taken_back(objects: Objects, spec: ServingSpec, version: VersionRecord) -> None:
    for model in spec.models:
        alias = references.parse(model.model).alias
        change = registry.aliases(objects, version.name).get(alias or "")
        if change is not None and change.action == "rollback" and change.previous == version.version:
            raise EaglerayError(
                f"{version.name}@{version.version} was promoted and taken back by {change.by}: "
                f"{change.reason or 'no reason was told'}"
            )
