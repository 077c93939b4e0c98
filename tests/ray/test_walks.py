"""Each task's page leads from a file to an endpoint: its document and its commands are run as they stand there.

The model is a tiny one instead of the page's, two steps are trained of texts of 64 tokens, and the port is a free one;
all else is what the page says.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.ray.processes import Shell, shell
from tests.support import tiny_images, tiny_models
from tests.support.loopback import free_port

PAGES = Path(__file__).parents[2] / "docs" / "tasks"
HEADING = "## From your own file to an endpoint\n"
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
NUM_ROWS = 40
MODELS: dict[str, Callable[[Path], object]] = {
    "causal-lm": tiny_models.save_decoder,
    "image-classification": tiny_images.save_model,
    "seq2seq": tiny_models.save_seq2seq,
}
"""Of the other tasks it is an encoder."""


@pytest.fixture
def user(tmp_path: Path) -> Iterator[Shell]:
    with shell(tmp_path) as opened:
        yield opened


def test_each_task_has_a_walk() -> None:
    assert [page.stem for page in sorted(PAGES.glob("*.md")) if HEADING not in page.read_text(encoding="utf-8")] == [
        "stages"
    ]


@pytest.mark.slow  # trains, and starts Ray Serve
@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
@pytest.mark.parametrize("task", sorted({page.stem for page in PAGES.glob("*.md")} - {"stages"}))
def test_a_walk(task: str, user: Shell) -> None:
    blocks = _walk(task)
    document = yaml.safe_load(blocks["yaml"])
    _write_data(task, user.folder)
    MODELS.get(task, tiny_models.save_encoder)(user.folder / "model")
    port = free_port()
    spec: dict[str, Any] = document["spec"]
    spec["model"]["source"] = str(user.folder / "model")
    spec.setdefault("train", {})["max_steps"] = 2
    spec["data"] = {**spec.get("data", {}), "max_length": 64}
    spec["endpoint"] = {**spec["endpoint"], "port": port}
    name = document["metadata"]["name"]
    (user.folder / f"{name}.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
    key = ""

    for line in blocks[""].replace("\\\n", " ").splitlines():
        bare = re.sub(r"^KEY=\$\((.*?)\)", r"\1", line.replace(":8000", f":{port}"))
        command = user.start("bash", "-euo", "pipefail", "-c", bare, KEY=key)
        assert command.wait(timeout_s=300) == 0, command.err
        if "--detach" in line:
            key = command.out.strip()
            assert key.startswith("er_")
        if line.startswith("curl") or "| eagleray predict" in line:
            answer = json.loads(command.out)
            assert answer.keys() & {"label", "spans", "answer", "text"}, answer


def _walk(task: str) -> dict[str, str]:
    """The blocks by their language."""
    text = (PAGES / f"{task}.md").read_text(encoding="utf-8").partition(HEADING)[2].partition("\n## ")[0]
    return dict(BLOCK.findall(text))


def _write_data(task: str, folder: Path) -> None:
    """What the page says is there: its own row, many times with other words."""
    blocks = _walk(task)
    document = yaml.safe_load(blocks["yaml"])
    if task == "image-classification":
        pictures = tiny_images.write_folders(folder / "pictures", num_each=NUM_ROWS // 2)
        shutil.copy(next(pictures.rglob("*.png")), folder / "part.png")
    elif task == "multi-task":
        _write_data("text-classification", folder)
        _write_data("token-classification", folder)
    elif task == "text-classification":
        header, *rows = blocks["text"].splitlines()
        many = [f"{number}: {row}" for number in range(NUM_ROWS // 2) for row in rows]
        (folder / document["spec"]["data"]["train"]).write_text("\n".join([header, *many, ""]), encoding="utf-8")
    else:
        row = json.loads(blocks["json"])
        many = [json.dumps(_varied(row, number)) for number in range(NUM_ROWS)]
        (folder / document["spec"]["data"]["train"]).write_text("\n".join([*many, ""]), encoding="utf-8")


def _varied(row: dict[str, Any], number: int) -> dict[str, Any]:
    """At the end of a text, so that places within it stay what they are."""
    if "messages" in row:
        first, *others = row["messages"]
        return {"messages": [{**first, "content": f"{first['content']} {number}"}, *others]}
    text = next(name for name in ("text", "context", "source") if name in row)
    return {**row, text: f"{row[text]} {number}"}
