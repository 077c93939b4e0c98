"""Data sets of the Hub, from one on this machine: in another process, since the library reads its address once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support import hub

NAME = "films/reviews"
CARD = """---
dataset_info:
  features:
  - name: text
    dtype: string
  - name: label
    dtype:
      class_label:
        names:
          '0': bad
          '1': good
---
# Reviews
"""
TRAIN = [{"text": "a fine film", "label": 1}, {"text": "dull", "label": 0}, {"text": "no label", "label": None}]
PLACE = f"{NAME}#train"
ROWS = [["a fine film", "good", f"{PLACE}:1"], ["dull", "bad", f"{PLACE}:2"], ["no label", None, f"{PLACE}:3"]]
FILES = {
    "README.md": CARD.encode(),
    "train.jsonl": "".join(json.dumps(row) + "\n" for row in TRAIN).encode(),
    "test.jsonl": json.dumps({"text": "warm", "label": 1}).encode() + b"\n",
}
READ = """
import json, sys
from pathlib import Path
from eagleray.data.digests import Digests
from eagleray.data.sources import read_rows, source_fingerprint
from eagleray.errors import DataError
digests, told = Digests(Path(sys.argv[1])), []
for source in sys.argv[2:]:
    try:
        rows = [[row.raw["text"], row.raw["label"], row.place] for row in read_rows(source, split="train")]
        told.append([rows, source_fingerprint(source, split="train", digests=digests)])
    except DataError as error:
        told.append(str(error))
print(json.dumps(told))
"""

Read = Callable[..., list[Any]]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Read sources with a hub's address and a cache of the test's own: rows and fingerprint of each, or its error."""
    pytest.importorskip("datasets")

    def read(endpoint: str, *sources: str) -> list[Any]:
        own = {"HF_ENDPOINT": endpoint, "HF_HOME": str(tmp_path / "cache"), "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
        kept = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
        done = subprocess.run(
            [sys.executable, "-c", READ, str(tmp_path / "digests.json"), *sources],
            env={**kept, **own},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        told: list[Any] = json.loads(done.stdout.splitlines()[-1])
        return told

    return read


def test_rows_of_the_hub(read: Read) -> None:
    with hub.served(NAME, FILES) as endpoint:
        train, named, test, part, no_split, no_revision, nobodys = read(
            endpoint,
            NAME,
            f"hub://{NAME}@v1.0#train",
            f"hub://{NAME}#test",
            f"hub://{NAME}#train[:1]",
            f"hub://{NAME}#dev",
            f"hub://{NAME}@v2.0",
            "films/none",
        )

    assert train[0] == named[0] == ROWS
    assert test[0] == [["warm", "good", f"{NAME}#test:1"]]
    assert part[0] == [["a fine film", "good", f"{NAME}#train[:1]:1"]]
    assert train[1] == named[1] != test[1]
    assert "dev" in no_split
    assert "v2.0" in no_revision
    assert nobodys.startswith("hub://films/none#train: ")


@pytest.mark.slow  # the library asks for half a minute before it looks into its cache
def test_rows_of_the_cache_where_the_hub_is_away(read: Read) -> None:
    with hub.served(NAME, FILES) as endpoint:
        [there] = read(endpoint, NAME)
    from_cache, not_there = read(endpoint, f"hub://{NAME}", "films/none")  # nothing listens there any more

    assert from_cache == there
    assert there[0] == ROWS
    assert "the Hugging Face Hub cannot be reached, and the data set is not in its local cache" in not_there
