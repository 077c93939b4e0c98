"""What does the storage say now of runs, sweeps, models and endpoints? In the JSON that the page reads."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from typing import Any

from eagleray.errors import UserError
from eagleray.store import checkpoints, events, paths, registry, rollouts, runs, signs, steps, sweeps
from eagleray.store.objects import ObjectMissing, Objects
from eagleray.store.runs import RunRecord
from eagleray.ui import curves, described
from eagleray.ui.shelf import Answers, Shelf

LIST_S, RUN_S, MODELS_S = 2.0, 1.0, 5.0
"""How old an answer may be that pages share."""
ENDED_S = 30.0
"""How old the record of a run that has ended may be: one that has failed may have been started again."""
_CONCURRENT_READS = 8

Json = dict[str, Any]


class Looks:
    """Looks at one storage, for any number of threads."""

    def __init__(
        self,
        objects: Objects,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`now` is what records are compared with, `clock` measures how old an answer is."""
        self._objects, self._now = objects, now
        self._answers = Answers(clock=clock)
        self._ended: dict[str, tuple[datetime, RunRecord]] = {}  # with when each was read
        self._steps: Shelf[steps.Reader] = Shelf(partial(steps.Reader, objects))
        self._events: Shelf[_Events] = Shelf(partial(_Events, objects))

    def runs(self) -> list[Json]:
        """All runs and sweeps, newest first."""
        found: list[Json] = self._answers.get("runs", self._list_runs, for_s=LIST_S)
        return found

    def run(self, run: str) -> Json:
        """All that is known of a run but its curves."""
        found: Json = self._answers.get(f"run {run}", lambda: self._describe_run(self._record(run)), for_s=RUN_S)
        return found

    def curves(self, run: str) -> Json:
        """The figures of a run by step."""
        self._record(run)  # raises where it is deleted
        found: Json = self._answers.get(f"curves {run}", lambda: self._steps.use(run, _curves), for_s=RUN_S)
        return found

    def sweep(self, run: str) -> Json:
        """A sweep and its trials."""
        record = self._record(run)
        if record.kind != sweeps.KIND:
            raise UserError(f"{run} is a run, not a sweep")
        found: Json = self._answers.get(f"sweep {run}", lambda: self._describe_sweep(record), for_s=RUN_S)
        return found

    def models(self) -> list[Json]:
        """The registered models."""
        found: list[Json] = self._answers.get("models", self._list_models, for_s=MODELS_S)
        return found

    def model(self, name: str) -> Json:
        """A model: its versions, its aliases with their history, and the endpoints that follow them."""
        if not paths.is_name(name) or name not in registry.names(self._objects):
            raise UserError(f"there is no model {name[:100]!r} on {self._objects.uri}")
        found: Json = self._answers.get(f"model {name}", lambda: self._describe_model(name), for_s=RUN_S)
        return found

    def endpoints(self) -> list[Json]:
        """Every alias with what the endpoint that follows it has decided last."""
        found: list[Json] = self._answers.get("endpoints", self._list_endpoints, for_s=LIST_S)
        return found

    def _list_runs(self) -> list[Json]:
        now = self._now()
        known = {run: record for run, (at, record) in self._ended.items() if (now - at).total_seconds() < ENDED_S}
        records = runs.list_runs(self._objects, known=known)
        ended = [record for record in records if signs.has_ended(record)]
        self._ended = {each.run: (self._ended[each.run][0] if each.run in known else now, each) for each in ended}
        with ThreadPoolExecutor(_CONCURRENT_READS) as threads:
            return list(threads.map(self._describe, records))

    def _describe(self, record: RunRecord) -> Json:
        if signs.has_ended(record):
            return described.run(record)
        now, progress = self._now(), runs.read_progress(self._objects, record.run)
        heard_at = signs.heard_at(self._objects, record, progress, now=now)
        return described.run(record, progress=progress, heard_at=heard_at, now=now)

    def _describe_run(self, record: RunRecord) -> Json:
        run, objects = record.run, self._objects
        return {
            **self._describe(record),
            "stored_at": f"{objects.uri.rstrip('/')}/{paths.run(run)}",
            "document": runs.read_document(objects, run),
            "lock": runs.read_lock(objects, run).model_dump(mode="json"),
            "checkpoints": [described.checkpoint(each, record) for each in checkpoints.list_manifests(objects, run)],
            "events": self._events.use(record.run, lambda kept: described.events(kept.read().all)),
        }

    def _describe_sweep(self, record: RunRecord) -> Json:
        log = self._events.use(record.run, lambda kept: kept.read().log)
        return {**self._describe(record), **described.sweep(log.sweep, frozenset(log.going))}

    def _list_models(self) -> list[Json]:
        return [
            described.model(name, registry.versions(self._objects, name), registry.aliases(self._objects, name))
            for name in registry.names(self._objects)
        ]

    def _describe_model(self, name: str) -> Json:
        versions, aliases = registry.versions(self._objects, name), registry.aliases(self._objects, name)
        histories = registry.histories(self._objects, name)
        return {
            **described.model(name, versions, aliases),
            "versions": [described.version(record, aliases) for record in reversed(versions)],
            "histories": {alias: described.history(changes) for alias, changes in histories.items()},
            "endpoints": self._endpoints_of(name, aliases),
        }

    def _list_endpoints(self) -> list[Json]:
        return [
            endpoint
            for name in registry.names(self._objects)
            for endpoint in self._endpoints_of(name, registry.aliases(self._objects, name))
        ]

    def _endpoints_of(self, name: str, aliases: Mapping[str, registry.AliasChange]) -> list[Json]:
        objects, now = self._objects, self._now()
        followed = {record.alias for record in rollouts.of_model(objects, name)}
        return [
            described.endpoint(
                name,
                alias,
                rollouts.history(objects, name, alias),
                aliases.get(alias),
                rollouts.heard(objects, name, alias),
                now=now,
            )
            for alias in sorted({*followed, *aliases})
        ]

    def _record(self, run: str) -> RunRecord:
        """Raises UserError where there is no such run."""
        try:
            return runs.read(self._objects, run)
        except (ObjectMissing, UserError):
            raise UserError(f"there is no run {run[:100]!r} on {self._objects.uri}") from None


class _Events:
    """The events of a run, read on from where they were read to; as a sweep's log where they are one."""

    def __init__(self, objects: Objects, run: str) -> None:
        self._reader = events.Reader(objects, run)
        self.all: list[events.Event] = []
        self.log = sweeps.Log()

    def read(self) -> _Events:
        """Read what is new."""
        found = self._reader.new()
        self.all += found
        self.log.read(found)
        return self


def _curves(reader: steps.Reader) -> Json:
    return {"splits": curves.of_steps(reader.all())}
