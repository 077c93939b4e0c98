"""What the operator decides for an endpoint, for each state of its RayService."""

from __future__ import annotations

from typing import Any

import pytest

from eagleray.kube import rollout, wanted
from eagleray.kube.actions import Action, Apply
from eagleray.kube.target import Manifest
from eagleray.kube.wanted import Service
from tests.support import operated

BEFORE = operated.endpoint()
OLD = operated.service(BEFORE)
CHANGED = operated.endpoint(endpoint="{replicas: {min: 2, max: 4}}")
NEW = operated.service(CHANGED)
NAME = "films"
READY = {"type": "Ready", "status": "True"}
UPGRADING = {"type": "UpgradeInProgress", "status": "True"}


def plan(owner: Manifest, *manifests: Manifest, **seen: Any) -> tuple[Action, ...]:
    return rollout.plan(wanted.service(owner), operated.there(*manifests, owner=owner, **seen), operated.NOW)


def service(made: Service, *conditions: dict[str, str], is_seen: bool = True, **status: Any) -> Manifest:
    metadata = {**made.service["metadata"], "generation": 2, "creationTimestamp": operated.BEGAN}
    told = {"observedGeneration": 2 if is_seen else 1, "conditions": list(conditions), **status}
    return {**made.service, "metadata": metadata, "status": told}


def good(made: Service) -> Manifest:
    actions = plan(BEFORE if made is OLD else CHANGED, *made.beside, service(made, READY))
    (kept,) = [each.manifest for each in actions if isinstance(each, Apply)]
    return kept


def rolling(made: Service, *, since_s: float) -> Manifest:
    known = made.service["metadata"]["annotations"]["eagleray.io/applied"]
    owner = BEFORE if made is OLD else CHANGED
    return operated.told(owner, rollout=known, rolloutSince=operated.ago(since_s), phase="Updating")


def short(actions: tuple[Action, ...]) -> str:
    return ": ".join(filter(None, (operated.status(actions).get("phase"), operated.changes(actions))))


@pytest.mark.parametrize(
    ("there", "expected", "ready"),
    [
        pytest.param(None, "Starting: +RayService", "False", id="absent"),
        pytest.param(service(OLD), "Starting", "False", id="starting"),
        pytest.param(service(OLD, READY, is_seen=False), "Updating", "True", id="not seen by KubeRay yet"),
        pytest.param(service(OLD, READY, UPGRADING), "Updating", "True", id="replacing"),
        pytest.param(service(OLD, READY), "Serving: +ConfigMap", "True", id="ready"),
        pytest.param(
            service(OLD, activeServiceStatus={"applicationStatuses": {"eagleray": {"status": "DEPLOY_FAILED"}}}),
            "Starting",
            "False",
            id="broken",
        ),
        pytest.param(operated.leaving(service(OLD, READY)), "Starting", "False", id="leaving"),
        pytest.param(service(NEW, READY), "Updating: +RayService", "True", id="ready as it was before"),
    ],
)
def test_every_state(there: Manifest | None, expected: str, ready: str) -> None:
    actions = plan(BEFORE, *OLD.beside, *([] if there is None else [there]))
    assert short(actions) == expected
    assert operated.condition(actions, "Ready")[0] == ready


def test_at_rest_nothing_is_done() -> None:
    there = (*OLD.beside, service(OLD, READY), good(OLD))
    once = plan(BEFORE, *there)
    assert plan(operated.told(BEFORE, **operated.status(once)), *there) == ()


def test_it_says_where_it_answers() -> None:
    assert operated.status(plan(BEFORE, *OLD.beside))["endpointURL"] == "http://films-serve-svc.default.svc:8000"
    public = operated.endpoint(cluster="{callers: [nginx], ingress: {host: m.example.com, tls_secret: tls}}")
    assert operated.service(public).url == "https://m.example.com"


class TestRollback:
    @pytest.mark.parametrize(
        ("since_s", "expected"),
        [
            pytest.param(3599, "Updating", id="it has its time"),
            pytest.param(3600, "RolledBack", id="its time is over"),
        ],
    )
    def test_what_does_not_come_to_answer_is_remembered(self, since_s: float, expected: str) -> None:
        owner = rolling(NEW, since_s=since_s)
        actions = plan(owner, *NEW.beside, service(NEW, READY, UPGRADING), good(OLD))
        assert short(actions) == expected

    def test_and_then_taken_back(self) -> None:
        owner = rolling(NEW, since_s=4000)
        there = (*NEW.beside, service(NEW, READY, UPGRADING), good(OLD))
        remembered = operated.told(owner, **operated.status(plan(owner, *there)))
        actions = plan(remembered, *there)
        (applied,) = [each.manifest for each in actions if isinstance(each, Apply)]
        assert applied == OLD.service
        assert operated.condition(actions, "UpToDate")[:2] == ("False", "RolloutFailed")

    def test_until_the_document_is_changed(self) -> None:
        failed = NEW.service["metadata"]["annotations"]["eagleray.io/applied"]
        stays = operated.told(CHANGED, failed=failed)
        assert short(plan(stays, *NEW.beside, service(OLD, READY), good(OLD))) == "RolledBack"
        mended = operated.told(operated.endpoint(endpoint="{replicas: {min: 3, max: 4}}"), failed=failed)
        assert "+RayService" in short(plan(mended, *NEW.beside, service(OLD, READY), good(OLD)))

    def test_the_first_has_nothing_to_go_back_to(self) -> None:
        assert short(plan(rolling(OLD, since_s=9999), *OLD.beside, service(OLD))) == "Starting"

    def test_what_was_kept_and_spoilt_is_kept_anew(self) -> None:
        spoilt = {**good(OLD), "data": {"service": "{"}}
        assert short(plan(BEFORE, *OLD.beside, service(OLD, READY), spoilt)) == "Serving: +ConfigMap"


def test_an_invalid_document_leaves_the_endpoint_alone() -> None:
    owner = {**BEFORE, "spec": {**BEFORE["spec"], "modles": []}}
    actions = plan(owner, *OLD.beside, service(OLD, READY))
    assert short(actions) == "Invalid"
    assert operated.condition(actions, "Ready")[0] == "True"


@pytest.mark.parametrize(
    ("seen", "reason"), [({"lacks": ("RayService: no",)}, "KubeRayLacks")], ids=["KubeRay is not there"]
)
def test_obstacles_are_told(seen: dict[str, Any], reason: str) -> None:
    actions = plan(BEFORE, **seen)
    assert short(actions) == "Blocked"
    assert operated.condition(actions, "Applied")[1] == reason


def test_what_somebody_else_has_made_is_not_taken_over() -> None:
    theirs = {**OLD.service, "metadata": {**OLD.service["metadata"], "ownerReferences": []}}
    assert operated.condition(plan(BEFORE, theirs), "Applied")[1] == "NameInUse"
