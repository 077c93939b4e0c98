"""Which model a prompt begins with, said without loading one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from eagleray.spec.finetune import FineTuneSpec
from eagleray.store.objects import open_storage
from eagleray.train import prompt_source
from tests.support import training
from tests.support.records import new_run


def _spec(**method: Any) -> FineTuneSpec:
    prompt = {"type": "p_tuning_v2", "num_virtual_tokens": 4, **method}
    return training.document(Path("model"), Path("rows.jsonl"), method=prompt).spec


def test_a_name_means_the_newest_run_of_it() -> None:
    objects = open_storage("memory://")
    found = []
    for step in (7, 9):
        new_run(objects, name="english", phase="succeeded", best_step=step)
        found.append(prompt_source.find(objects, _spec(start_from="english")))

    assert found == ["english-0001@7", "english-0002@9"]
    assert prompt_source.find(objects, _spec()) == ""
