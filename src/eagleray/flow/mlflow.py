"""How does MLflow come to know what was told of a run, and which versions were registered?

All of it may be told again at any time: runs, metrics and versions that are there stay as they are.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from itertools import islice
from typing import Any

from eagleray.errors import EaglerayError
from eagleray.flow.told import Point, Told
from eagleray.spec.tracking import TrackingSpec
from eagleray.store.lineage import VersionRecord

_BATCH = 900  # metrics of one request; MLflow takes 1000
_PARAMS = 100
_MAX_PARAM = 6000
_ENVIRONMENT = {  # by default it waits for minutes on a server that is away, and prints addresses among results
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
_KEY, _STORAGE, _PARENT = "eagleray.run", "eagleray.storage", "mlflow.parentRunId"


class TrackingError(EaglerayError):
    """MLflow did not take what it was told."""


class Mlflow:
    """A tracking server. One thread at a time."""

    def __init__(self, spec: TrackingSpec, *, name: str, storage: str) -> None:
        """`name` is that of the document, `storage` tells runs of the same id apart."""
        for variable, value in _ENVIRONMENT.items():
            os.environ.setdefault(variable, value)
        from mlflow import MlflowClient

        self._client: Any = MlflowClient(tracking_uri=spec.uri, registry_uri=spec.uri)
        self._uri, self._experiment, self._storage = spec.uri, spec.experiment or name, storage
        self._ids: dict[str, str] = {}  # of MLflow's runs, by our key
        self._sent: dict[str, set[tuple[int, datetime]]] = {}  # points, by our key

    def tell(self, told: Told) -> None:
        """Add what is not there yet of a run and its trials.

        Raises:
            TrackingError: it does not answer, or refuses.
        """
        with self._explained():
            self._tell(told, parent="")
            for trial in told.trials:
                self._tell(trial, parent=self._ids[told.key])

    def register(self, record: VersionRecord, *, stored_at: str) -> None:
        """Add a version to MLflow's registry, once. Raises TrackingError."""
        tags = {"eagleray.version": str(record.version), _KEY: record.run, "eagleray.stored_at": stored_at}
        source = f"eagleray://{record.name}/{record.version}"  # MLflow takes no path of another machine
        with self._explained():
            if not self._client.search_registered_models(f"name='{record.name}'"):
                self._client.create_registered_model(record.name)
            known = self._client.search_model_versions(f"name='{record.name}'")
            if any(each.tags.get("eagleray.version") == str(record.version) for each in known):
                return
            hashes = {f"sha256.{file.path}"[:250]: file.sha256 for file in record.files}
            run = self._find(record.run)
            self._client.create_model_version(record.name, source=source, run_id=run, tags={**tags, **hashes})

    def _tell(self, told: Told, *, parent: str) -> None:
        run = self._ids.get(told.key) or self._find(told.key) or self._create(told, parent=parent)
        self._ids[told.key] = run
        sent = self._sent.setdefault(told.key, set())
        new = [point for point in told.points if (point.step, point.at) not in sent]
        for batch in _batches(new):
            self._client.log_batch(run, metrics=batch)
        sent.update((point.step, point.at) for point in new)
        if self._client.get_run(run).info.status != told.status:
            if told.status == "RUNNING":
                self._client.update_run(run, status=told.status)
            else:
                self._client.set_terminated(run, status=told.status)

    def _find(self, key: str) -> str | None:
        where = f"tags.`{_KEY}` = '{key}' and tags.`{_STORAGE}` = '{self._storage}'"
        found = self._client.search_runs([self._experiment_id()], where, max_results=1)
        return str(found[0].info.run_id) if found else None

    def _create(self, told: Told, *, parent: str) -> str:
        from mlflow.entities import Param

        tags = {**told.tags, _KEY: told.key, _STORAGE: self._storage} | ({_PARENT: parent} if parent else {})
        began = int(told.began_at.timestamp() * 1000)
        made = self._client.create_run(self._experiment_id(), start_time=began, tags=tags, run_name=told.name)
        params = iter([Param(key[:250], value[:_MAX_PARAM]) for key, value in told.params.items()])
        while batch := list(islice(params, _PARAMS)):
            self._client.log_batch(made.info.run_id, params=batch)
        return str(made.info.run_id)

    def _experiment_id(self) -> str:
        from mlflow.exceptions import MlflowException

        found = self._client.get_experiment_by_name(self._experiment)
        if found is None:
            try:
                return str(self._client.create_experiment(self._experiment))
            except MlflowException:  # another process has made it meanwhile; else the next line says what is wrong
                found = self._client.get_experiment_by_name(self._experiment)
        return str(found.experiment_id)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        from mlflow.exceptions import MlflowException

        try:
            yield
        except (MlflowException, OSError) as error:
            first = str(error).splitlines()[0][:200]
            raise TrackingError(f"MLflow at {self._uri} was not told: {first}") from error


def _batches(points: Sequence[Point]) -> Iterator[list[Any]]:
    """MLflow's metrics. It keeps one of those that agree in name, step, time and value."""
    from mlflow.entities import Metric

    metrics = (
        Metric(name.replace("@", "_at_"), value, int(point.at.timestamp() * 1000), point.step)
        for point in points
        for name, value in point.metrics.items()
    )
    while batch := list(islice(metrics, _BATCH)):
        yield batch
