"""What the routes of the page answer, and whom."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from eagleray.report.palette import COLOURS
from eagleray.serving.auth import Authority, NoAuth
from eagleray.store import events, keys, paths, runs
from eagleray.store.key_homes import StoredKeys
from eagleray.store.objects import Objects, open_storage
from eagleray.ui import app
from eagleray.ui.looks import Looks
from tests.support import filled_storage
from tests.support.records import NOW

HERE = "http://127.0.0.1:8270"
LATER = NOW + timedelta(hours=1, seconds=5)
PARTS = ("runs", "runs/reviews-0001", "runs/reviews-0001/curves", "sweeps/search-0001", "models", "models/reviews")


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("filled")
    filled_storage.fill(open_storage(str(folder / "storage")), folder / "scratch")
    return folder / "storage"


@pytest.fixture
def objects(filled: Path, tmp_path: Path) -> Objects:
    return open_storage(str(shutil.copytree(filled, tmp_path / "storage")))


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.at = LATER

    def __call__(self) -> datetime:
        return self.at


@pytest.fixture
def client(objects: Objects) -> Iterator[TestClient]:
    with TestClient(_app(objects, NoAuth()), base_url=HERE) as opened:
        yield opened


def _app(objects: Objects, authority: Authority | NoAuth, clock: Clock | None = None) -> Any:
    return app.build(Looks(objects, now=clock or Clock()), authority, storage=objects.uri)


def _json(client: TestClient, path: str) -> Any:
    answer = client.get(f"/api/{path}")
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_runs(client: TestClient, objects: Objects) -> None:
    live = filled_storage.new_going_run(objects, now=LATER)
    found = _json(client, "runs")

    assert [each["run"] for each in found] == [live, "search-0001", "broken-0001", "reviews-0001"]
    assert [each["is_going"] for each in found] == [True, False, False, False]
    assert (found[0]["step"], found[0]["total_steps"], found[0]["is_silent"]) == (40, 200, False)
    assert found[3]["metrics"]["test"] == {"loss": 0.25, "f1_macro": 0.8975}
    assert found[3]["metrics"]["validation"].keys() == {"loss", "f1_macro"}


def test_a_run_that_nothing_is_heard_of(objects: Objects) -> None:
    clock = Clock()
    filled_storage.new_going_run(objects, now=LATER)
    clock.at = LATER + timedelta(minutes=3)
    with TestClient(_app(objects, NoAuth(), clock), base_url=HERE) as client:
        found = _json(client, "runs/live-0001")

    assert (found["is_going"], found["is_silent"]) == (True, True)
    assert datetime.fromisoformat(found["heard_at"]) == LATER


def test_a_run(client: TestClient) -> None:
    found = _json(client, "runs/reviews-0001")

    assert found["document"].startswith("apiVersion")
    assert [(each["step"], each["is_best"]) for each in found["checkpoints"]] == [(160, True), (200, False)]
    assert [each["kind"] for each in found["events"]] == ["evaluated", "restarted"]
    assert found["stored_at"].endswith("/storage/runs/reviews-0001")


def test_curves_grow(client: TestClient, objects: Objects) -> None:
    found = _json(client, "runs/reviews-0001/curves")["splits"]

    assert found["train"]["step"] == list(range(1, 201))
    assert found["validation"]["step"] == list(range(20, 201, 20))
    assert found["train"].keys() == {"step", "epoch", "loss", "learning_rate", "samples_per_s", "gradient_norm"}
    live = filled_storage.new_going_run(objects, now=LATER)
    looks = Looks(objects)
    assert looks.curves(live)["splits"]["train"]["step"][-1] == 40


def test_a_sweep(client: TestClient) -> None:
    found = _json(client, "sweeps/search-0001")

    assert [(each["trial"], each["state"], each["place"]) for each in found["trials"]] == [
        (2, "pruned", 1),
        (1, "finished", 2),
        (0, "finished", 3),
    ]
    assert found["trials"][1]["steps"] == [30, 60, 90]
    assert found["trials"][1]["values"] == pytest.approx([0.675, 0.75, 0.825])
    assert found["objective"]["metric"] == "f1_macro"
    assert found["end_reason"] == "the budget of 3 trials is used up"


def test_models(client: TestClient) -> None:
    (listed,) = _json(client, "models")
    found = _json(client, "models/reviews")

    assert (listed["name"], listed["num_versions"], listed["newest"]["version"]) == ("reviews", 2, 2)
    assert [(each["version"], each["aliases"]) for each in found["versions"]] == [(2, ["champion"]), (1, ["trial"])]
    assert [(each["version"], each["previous"]) for each in found["histories"]["champion"]] == [(2, 1), (1, None)]


def test_endpoints(client: TestClient) -> None:
    champion, trial = _json(client, "endpoints")

    assert (champion["alias"], champion["points_to"], champion["now"]["candidate"]) == ("champion", 2, 2)
    assert [each["phase"] for each in champion["decisions"]] == ["shifting", "stable"]
    assert (champion["heard"]["num_replicas"], champion["heard"]["loaded"]) == (2, {"1": 2, "2": 1})
    assert (trial["alias"], trial["now"], trial["heard"], trial["is_silent"]) == ("trial", None, None, True)


@pytest.mark.parametrize(("seconds", "is_silent"), [(30, False), (61, True)], ids=["heard", "silent"])
def test_an_endpoint_that_nothing_is_heard_of(objects: Objects, seconds: int, is_silent: bool) -> None:
    looks = Looks(objects, now=lambda: NOW + timedelta(seconds=seconds))

    assert looks.endpoints()[0]["is_silent"] is is_silent


def test_an_empty_storage(tmp_path: Path) -> None:
    with TestClient(_app(open_storage(str(tmp_path / "empty")), NoAuth()), base_url=HERE) as client:
        assert [_json(client, part) for part in ("runs", "models", "endpoints")] == [[], [], []]


@pytest.mark.parametrize(
    ("path", "status", "told"),
    [
        pytest.param("runs/nothing-0001", 404, "there is no run 'nothing-0001'", id="run"),
        pytest.param("runs/..%2f..%2fetc", 404, "", id="out-of-the-storage"),
        pytest.param("runs/UPPER", 404, "there is no run 'UPPER'", id="no-id"),
        pytest.param("runs/nothing-0001/curves", 404, "there is no run", id="curves"),
        pytest.param("sweeps/reviews-0001", 404, "reviews-0001 is a run, not a sweep", id="sweep"),
        pytest.param("models/unknown", 404, "there is no model 'unknown'", id="model"),
        pytest.param("elsewhere", 404, "", id="no-route"),
    ],
)
def test_what_is_not_there(client: TestClient, path: str, status: int, told: str) -> None:
    answer = client.get(f"/api/{path}")

    assert answer.status_code == status
    assert told in answer.text


def test_a_damaged_record_is_told(client: TestClient, objects: Objects) -> None:
    objects.put(paths.lock("reviews-0001"), b"{")
    answer = client.get("/api/runs/reviews-0001")

    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    assert "lock.json is damaged" in answer.json()["detail"]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
@pytest.mark.parametrize("path", ["/api/runs", "/api/runs/reviews-0001", "/api/models/reviews", "/"])
def test_nothing_is_written(client: TestClient, method: str, path: str) -> None:
    assert client.request(method, path).status_code == 405


@pytest.mark.parametrize("path", ["/", "/app.js", "/style.css", "/api/runs", "/api/elsewhere"])
def test_every_answer_says_what_a_browser_may_do(client: TestClient, path: str) -> None:
    headers = client.get(path).headers

    assert headers["Content-Security-Policy"].startswith("default-src 'none'; script-src 'self'")
    assert headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("path", ["/../app.py", "/%2e%2e/app.py", "/..%2fapp.py"])
def test_files_beside_the_page_are_no_page(client: TestClient, path: str) -> None:
    assert client.get(path).status_code == 404


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        pytest.param({}, 200, id="plain"),
        pytest.param({"Host": "evil.example:8270"}, 421, id="rebound-name"),
        pytest.param({"Origin": "http://evil.example"}, 403, id="foreign-page"),
        pytest.param({"Origin": HERE}, 200, id="its-own-page"),
    ],
)
def test_without_keys_it_answers_this_machine_alone(client: TestClient, headers: dict[str, str], status: int) -> None:
    assert client.get("/api/runs", headers=headers).status_code == status


@pytest.mark.parametrize("part", PARTS)
def test_with_keys_every_part_asks_for_one_with_the_scope_admin(objects: Objects, part: str) -> None:
    home = StoredKeys(objects)
    admin = keys.create(home, "ada", now=NOW, scopes=("admin",)).text
    predict = keys.create(home, "laptop", now=NOW).text
    with TestClient(_app(objects, Authority(partial(keys.load, home))), base_url="http://host:8270") as client:
        answers = {
            given: client.get(f"/api/{part}", headers={"Authorization": given} if given else {}).status_code
            for given in ("", "Bearer er_wrong", f"Bearer {predict}", f"Bearer {admin}")
        }
        assert list(answers.values()) == [401, 401, 403, 200]
        assert client.get("/").status_code == 200


def test_a_list_reads_what_has_ended_once(objects: Objects) -> None:
    clock = Clock()
    looks = Looks(objects, now=clock, clock=lambda: clock().timestamp())
    assert looks.runs()[0]["phase"] == "succeeded"
    runs.save(objects, runs.read(objects, "search-0001").model_copy(update={"phase": "running"}))
    seen = []
    for seconds in (1, 5, 31):
        clock.at = LATER + timedelta(seconds=seconds)
        seen.append(looks.runs()[0]["phase"])

    assert seen == ["succeeded", "succeeded", "running"]


def test_pages_that_ask_at_once_share_an_answer(objects: Objects) -> None:
    looks = Looks(objects, clock=lambda: 0.0)
    first = looks.run("reviews-0001")
    events.append(objects, "reviews-0001", kind="more", now=NOW)

    assert looks.run("reviews-0001") is first


def test_the_colours_are_those_of_the_reports() -> None:
    style = (app.PAGE / "style.css").read_text(encoding="utf-8")
    light, dark = (dict(_colours(part)) for part in style.split("@media (prefers-color-scheme: dark)")[:2])

    assert light and light == {name: COLOURS[name].light for name in light}
    assert {name: value for name, value in dark.items() if name in light} == {n: COLOURS[n].dark for n in light}


def _colours(css: str) -> Iterator[tuple[str, str]]:
    for declaration in css.replace("{", ";").split(";"):
        name, separator, value = declaration.strip().partition(": ")
        if separator and name.startswith("--"):
            yield name.removeprefix("--"), value
