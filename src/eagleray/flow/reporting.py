"""A run's page: made of its records and of what was registered from it, and put beside them."""

from __future__ import annotations

from eagleray.report import history, run
from eagleray.store import paths, versions
from eagleray.store.objects import Objects
from eagleray.store.runs import RunRecord


def page(objects: Objects, record: RunRecord) -> str:
    """Return the HTML of a run's page."""
    registered = [
        version
        for name in versions.names(objects)
        for version in versions.versions(objects, name)
        if version.run == record.run
    ]
    return run.render(history.read(objects, record), versions=registered)


def put(objects: Objects, run_id: str, html: str) -> str:
    """Write the page into the run's folder and return where it lies, as a path where the storage is a directory."""
    key = paths.report(run_id)
    objects.put(key, html.encode())
    return str(objects.local_path / key) if objects.local_path is not None else f"{objects.uri.rstrip('/')}/{key}"
