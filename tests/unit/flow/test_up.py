"""What of a document's life is done already is found on the storage, and only the rest is done."""

from __future__ import annotations

import socket
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from eagleray.errors import UserError
from eagleray.flow import places
from eagleray.flow.publishing import NotPromoted
from eagleray.flow.up import Life
from eagleray.model import sources
from eagleray.spec import serving
from eagleray.spec.endpoint import EndpointSpec
from eagleray.spec.finetune import FineTune
from eagleray.spec.serving import ServingSpec
from eagleray.store import paths, records, registry, runs
from eagleray.store.objects import Objects, open_storage
from eagleray.store.runs import RunRecord
from tests.support import loopback, tiny_models
from tests.support.records import NOW
from tests.unit.flow.test_register import finished_run, reviews_document

ALL = ["preflight", "data", "train", "evaluate", "register", "gate", "promote"]
THERE = [(name, "there") for name in ALL[1:]]


@dataclass
class Watch:
    """An observer that remembers what became of each step."""

    seen: list[tuple[str, str]] = field(default_factory=list)
    details: dict[str, str] = field(default_factory=dict)

    def step(self, step: str, state: str, detail: str) -> None:
        if state != "begun":
            self.seen.append((step, state))
            self.details[step] = detail

    def say(self, message: str) -> None: ...

    def warn(self, message: str) -> None: ...

    def preparing(self, stage: str, count: int) -> None: ...

    def training(self) -> AbstractContextManager[Any]:
        return nullcontext(self)

    def key(self, made: Any) -> None: ...


@pytest.fixture
def objects(tmp_path: Path) -> Objects:
    return open_storage(str(tmp_path / "storage"))


def wanted(scratch: Path, **sections: Any) -> FineTune:
    """A document of reviews that is to be promoted."""
    plain = reviews_document(scratch).model_dump(mode="json", exclude_unset=True)
    plain["spec"] |= {"promote": {"alias": "champion"}, **sections}
    return FineTune.model_validate(plain, strict=False)


def trained(objects: Objects, scratch: Path, document: FineTune, **changes: Any) -> RunRecord:
    """A run that succeeded with just this document."""
    record = finished_run(objects, scratch, made_from=document, **changes)
    lock = runs.read_lock(objects, record.run)
    true = lock.model_copy(update={"model_sha256": sources.sha256(document.spec.model.source)})
    objects.put(paths.lock(record.run), records.dump(true))
    return record


def life(objects: Objects, scratch: Path, document: FineTune, watch: Watch, **more: Any) -> Life:
    settings: dict[str, Any] = {"place": None, "by": "tester", **more}
    return Life(
        document, objects, storage=objects.uri, cache_dir=scratch / "cache", observer=cast(Any, watch), **settings
    )


def up(objects: Objects, scratch: Path, document: FineTune, *, until: str = "promote") -> Watch:
    watch = Watch()
    with life(objects, scratch, document, watch) as going:
        going.go(until=until)
    return watch


def look(objects: Objects, scratch: Path, document: FineTune) -> Watch:
    watch = Watch()
    with life(objects, scratch, document, watch) as going:
        going.look(until="verify")
    return watch


def test_what_is_missing_is_done_and_then_nothing_is(objects: Objects, tmp_path: Path) -> None:
    document = wanted(tmp_path)
    run = trained(objects, tmp_path, document)

    first = up(objects, tmp_path, document)
    assert first.seen[3:] == [("evaluate", "there"), ("register", "done"), ("gate", "done"), ("promote", "done")]
    assert first.details["train"].startswith(run.run)

    second = up(objects, tmp_path, document)
    assert second.seen == [("preflight", "done"), *THERE]
    assert [version.run for version in registry.versions(objects, "test")] == [run.run]
    assert registry.current(objects, "test", "champion").version == 1
    assert registry.current(objects, "test", "champion").by == "tester"


def test_a_look_changes_nothing(objects: Objects, tmp_path: Path) -> None:
    document = wanted(tmp_path)
    assert dict(look(objects, tmp_path, document).seen) == dict.fromkeys(ALL, "to do")
    trained(objects, tmp_path, document)

    seen = dict(look(objects, tmp_path, document).seen)

    assert [name for name, state in seen.items() if state == "there"] == ["data", "train", "evaluate"]
    assert not registry.names(objects)


@pytest.mark.parametrize(
    ("sections", "told"),
    [
        pytest.param({"train": {"learning_rate": 0.5}}, "train.learning_rate: 0.001 there, 0.5 here", id="course"),
        pytest.param({"method": {"type": "lora", "rank": 2}}, 'method.type: "full" there, "lora" here', id="weights"),
    ],
)
def test_what_changed_is_told(objects: Objects, tmp_path: Path, sections: dict[str, Any], told: str) -> None:
    document = wanted(tmp_path)
    trained(objects, tmp_path, document)
    plain = document.model_dump(mode="json", exclude_unset=True)
    for name, section in sections.items():
        plain["spec"][name] = {**plain["spec"].get(name, {}), **section}

    watch = look(objects, tmp_path, FineTune.model_validate(plain, strict=False))

    assert ("train", "to do") in watch.seen
    assert told in watch.details["train"]


def test_what_changes_no_result_trains_nothing_again(objects: Objects, tmp_path: Path) -> None:
    trained(objects, tmp_path, wanted(tmp_path))
    other = wanted(tmp_path, checkpoint={"keep": 5}, endpoint={"port": 9})

    assert ("train", "there") in look(objects, tmp_path, other).seen


def test_changed_rows_are_other_rows(objects: Objects, tmp_path: Path) -> None:
    document = wanted(tmp_path)
    trained(objects, tmp_path, document)
    with (tmp_path / "train.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"text": "one more", "label": "good"}\n')

    watch = look(objects, tmp_path, document)

    assert ("train", "to do") in watch.seen
    assert "data" in watch.details["train"]


def test_an_older_run_of_the_same_document_will_do(objects: Objects, tmp_path: Path) -> None:
    document = wanted(tmp_path)
    older = trained(objects, tmp_path, document)
    newer = trained(objects, tmp_path, wanted(tmp_path, method={"type": "lora"}))
    runs.save(objects, newer.model_copy(update={"started_at": NOW + timedelta(hours=1)}))

    assert look(objects, tmp_path, document).details["train"].startswith(older.run)


def test_a_gate_that_is_not_met_promotes_nothing(objects: Objects, tmp_path: Path) -> None:
    document = wanted(tmp_path, promote={"when": {"metric": "accuracy", "at_least": 0.9}})
    trained(objects, tmp_path, document)

    with pytest.raises(NotPromoted, match=r"accuracy on test is 0\.5, asked for is at least 0\.9"):
        up(objects, tmp_path, document)

    assert registry.aliases(objects, "test") == {}
    assert [version.version for version in registry.versions(objects, "test")] == [1]


def test_what_was_taken_back_is_not_promoted_again(objects: Objects, tmp_path: Path) -> None:
    first, second = wanted(tmp_path), wanted(tmp_path, method={"type": "lora"})
    for document in (first, second):
        trained(objects, tmp_path, document)
        up(objects, tmp_path, document)
    seen = registry.current(objects, "test", "champion").number
    registry.point(
        objects, "test", "champion", 1, action="rollback", by="endpoint", reason="too slow", seen=seen, now=NOW
    )

    with pytest.raises(NotPromoted, match="too slow"):
        up(objects, tmp_path, second)
    assert registry.current(objects, "test", "champion").version == 1
    assert up(objects, tmp_path, first).seen[-1] == ("promote", "there")


def test_a_model_that_was_not_tested_is_tested(objects: Objects, tmp_path: Path) -> None:
    document = wanted(tmp_path)
    run = trained(objects, tmp_path, document, metrics={"validation": {"accuracy": 0.75}})

    watch = up(objects, tmp_path, document)

    assert ("evaluate", "done") in watch.seen
    measured = runs.read(objects, run.run).metrics["test"]
    assert 0 <= measured["accuracy"] <= 1
    assert registry.read(objects, "test", 1).metrics["test"] == measured


@pytest.mark.parametrize(
    ("more", "state"),
    [
        pytest.param({}, "to do", id="asked-for-later"),
        pytest.param({"rouge1": 0.5, "rouge2": 0.25, "rougeL": 0.5, "meteor": 0.5}, "there", id="measured"),
    ],
)
def test_written_texts_are_scored_if_they_were_not(
    objects: Objects, tmp_path: Path, more: dict[str, float], state: str
) -> None:
    task = {"type": "seq2seq", "preset": "summarization", "source": "text", "target": "label", "generate_for": ["test"]}
    model = str(tiny_models.save_seq2seq(tmp_path / "writer"))
    document = wanted(tmp_path, task=task, model={"source": model})
    loss = {"loss": 1.0}
    trained(objects, tmp_path, document, metrics={"validation": loss, "test": {**loss, **more}})

    assert ("evaluate", state) in look(objects, tmp_path, document).seen


def test_steps_that_have_no_section_are_left_out(objects: Objects, tmp_path: Path) -> None:
    plain = reviews_document(tmp_path)
    assert [name for name, _ in look(objects, tmp_path, plain).seen] == ALL[:-2]


class Nowhere:
    """A place where an endpoint could be."""

    is_here = True

    def __init__(self, spec: ServingSpec) -> None:
        self.spec = spec

    def check(self) -> None:
        places.check_port(self.spec.endpoint)

    def find(self) -> str | None:
        return None

    def start(self, stack: ExitStack) -> str:
        raise AssertionError("nothing is to be started here")


def test_a_port_that_is_taken_is_told_before_anything_is_done(objects: Objects, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        document = wanted(tmp_path, endpoint={"port": taken.getsockname()[1]})
        place = Nowhere(serving.of_training(document))
        with (
            life(objects, tmp_path, document, Watch(), place=place) as going,
            pytest.raises(UserError, match=r"endpoint\.port: 127\.0\.0\.1:\d+ cannot be listened on"),
        ):
            going.go(until="verify")
    assert not registry.names(objects)


@pytest.mark.parametrize("answer", [loopback.SSH, b"HTTP/1.1 200 OK\r\n\r\n"], ids=["ssh", "http"])
def test_a_port_that_something_else_answers_at_is_taken(tmp_path: Path, answer: bytes) -> None:
    with loopback.answering(answer) as port:
        spec = serving.of_training(wanted(tmp_path, endpoint={"port": port}))
        place = places.Detached(spec, storage="", command=(), log=tmp_path / "log")
        with pytest.raises(UserError, match=r"endpoint\.port: 127\.0\.0\.1:\d+ cannot be listened on"):
            place.check()


@pytest.mark.parametrize(
    ("host", "url"), [("0.0.0.0", "http://127.0.0.1:8000"), ("::1", "http://[::1]:8000"), ("a.b", "http://a.b:8000")]
)
def test_where_an_endpoint_answers(host: str, url: str) -> None:
    assert places.url(EndpointSpec(host=host)) == url
