"""What the operator decides for a training document, for each state of its job and each thing that a user can do."""

from __future__ import annotations

from typing import Any

import pytest

from eagleray.kube import plan as planner
from eagleray.kube import story, wanted
from eagleray.kube.actions import Action, Apply, Delete, SetStatus
from eagleray.kube.departure import FINALIZER
from eagleray.kube.observed import Observed, Refusal
from eagleray.kube.target import Manifest
from eagleray.kube.wanted import ATTEMPT, Invalid, Run
from tests.support import operated

JOBS: dict[str, dict[str, Any] | None] = {
    "absent": None,
    "queued": {"deployed": "Suspended"},
    "starting": {"deployed": "Initializing"},
    "running": {"deployed": "Running", "ran": "RUNNING"},
    "succeeded": {"deployed": "Complete", "ran": "SUCCEEDED"},
    "failed": {"deployed": "Failed", "ran": "FAILED", "message": "the pods died"},
    "leaving": {"deployed": "Running"},
}
BEFORE = operated.fine_tune()
FIRST = operated.run(BEFORE)
CHANGES: dict[str, Manifest] = {
    "none": BEFORE,
    "changed": operated.fine_tune(train="{epochs: 9}"),
    "changed, fork": operated.fine_tune(train="{epochs: 9}", cluster="{lifecycle: {on_change: fork}}"),
    "suspend": operated.fine_tune(cluster="{lifecycle: {suspend: true}}"),
    "cancel": operated.fine_tune(cluster="{lifecycle: {cancel: true}}"),
    "invalid": {**BEFORE, "spec": {**BEFORE["spec"], "trian": {}}},
    "retries": operated.fine_tune(cluster="{lifecycle: {retries: 2}}"),
    "holds runs": operated.fine_tune(cluster="{lifecycle: {on_delete: delete}}"),
    "deleted": operated.leaving(BEFORE),
    "deleted with runs": operated.leaving(operated.fine_tune(cluster="{lifecycle: {on_delete: delete}}"), FINALIZER),
}
# By what the user did while the job was made or ran; then the phase that is told and what is done, a state of the job
# each, in the order of JOBS.
TABLE: dict[str, tuple[str, ...]] = {
    "none": (
        "Pending: +RayJob",
        "Queued",
        "Pending",
        "Running",
        "Promoted",
        "Failed",
        "Pending",
    ),
    "changed": (
        "Pending: +ConfigMap +RayJob",
        "Queued",
        "Pending",
        "Running",
        "Pending: -RayJob",
        "Pending: -RayJob",
        "Pending",
    ),
    "changed, fork": (
        "Pending: +ConfigMap +RayJob",
        "Pending: -RayJob",
        "Pending: -RayJob",
        "Pending: -RayJob",
        "Pending: -RayJob",
        "Pending: -RayJob",
        "Pending",
    ),
    "suspend": (
        "Suspended",
        "Suspended: -RayJob",
        "Suspended: -RayJob",
        "Suspended: -RayJob",
        "Promoted",
        "Suspended",
        "Suspended",
    ),
    "cancel": (
        "Cancelled",
        "Cancelled: -RayJob",
        "Cancelled: -RayJob",
        "Cancelled: -RayJob",
        "Promoted",
        "Cancelled",
        "Cancelled",
    ),
    "invalid": (
        "Invalid",
        "Queued",
        "Pending",
        "Running",
        "Invalid",
        "Invalid",
        "Invalid",
    ),
    "retries": (
        "Pending: +ConfigMap +RayJob",
        "Queued: +ConfigMap",
        "Pending: +ConfigMap",
        "Running: +ConfigMap",
        "Promoted",
        "Retrying",
        "Pending",
    ),
    "holds runs": (
        "hold",
        "hold",
        "hold",
        "hold",
        "hold",
        "hold",
        "hold",
    ),
    "deleted": (
        "",
        "",
        "",
        "",
        "",
        "",
        "",
    ),
    "deleted with runs": (
        "Deleting: +Job",
        "Deleting: -RayJob",
        "Deleting: -RayJob",
        "Deleting: -RayJob",
        "Deleting: -RayJob",
        "Deleting: -RayJob",
        "Deleting",
    ),
}


def plan(owner: Manifest, *manifests: Manifest, begun: Run | None = None, **seen: Any) -> tuple[Action, ...]:
    observed = operated.there(*manifests, owner=owner, **seen)
    return planner.plan(wanted.run(owner), observed, operated.NOW, begun=begun)


def in_mid_run(owner: Manifest) -> Manifest:
    return operated.told(owner, document=FIRST.digest, attempt=1, phase="Running")


def job(state: str, made: Run = FIRST, **more: Any) -> Manifest:
    asked = JOBS[state]
    assert asked is not None
    found = operated.job(made, **{**asked, **more})
    return operated.leaving(found) if state == "leaving" else found


def short(actions: tuple[Action, ...]) -> str:
    return ": ".join(filter(None, (operated.status(actions).get("phase"), operated.changes(actions))))


@pytest.mark.parametrize(
    ("change", "state", "expected"),
    [
        pytest.param(change, state, cell, id=f"{change}-{state}")
        for change, row in TABLE.items()
        for state, cell in zip(JOBS, row, strict=True)
    ],
)
def test_every_state_of_the_job_by_everything_a_user_can_do(change: str, state: str, expected: str) -> None:
    owner = in_mid_run(CHANGES[change])
    there = [*FIRST.beside, *([] if state == "absent" else [job(state)])]
    assert short(plan(owner, *there, begun=None if state == "absent" else FIRST)) == expected


@pytest.mark.parametrize("state", [state for state in JOBS if state != "absent"])
@pytest.mark.parametrize("change", [change for change in CHANGES if not change.startswith(("deleted", "holds"))])
def test_what_was_told_is_not_told_again(change: str, state: str) -> None:
    owner, there = in_mid_run(CHANGES[change]), [*FIRST.beside, job(state)]
    once = plan(owner, *there, begun=FIRST)
    again = plan(operated.told(owner, **operated.status(once)), *there, begun=FIRST)
    assert not any(isinstance(each, SetStatus) for each in again)
    assert operated.events(again) == []


class TestBegin:
    def test_everything_is_made_in_an_order_in_which_it_can_be(self) -> None:
        actions = plan(BEFORE)
        made = operated.changes(actions).split()
        assert made[-1] == "+RayJob"
        assert made.index("+Role") < made.index("+RoleBinding")
        assert operated.status(actions)["phase"] == "Pending"
        assert operated.events(actions) == ["Pending"]

    def test_all_of_it_belongs_to_the_document(self) -> None:
        made = [each.manifest for each in plan(BEFORE) if isinstance(each, Apply)]
        assert {each["metadata"]["ownerReferences"][0]["uid"] for each in made} == {"uid-demo"}

    def test_a_claim_belongs_to_nobody(self) -> None:
        actions = plan(operated.fine_tune(cluster="{claim: {name: shared, size: 1Ti}}"))
        (claim,) = [
            each.manifest
            for each in actions
            if isinstance(each, Apply) and each.manifest["kind"] == "PersistentVolumeClaim"
        ]
        assert "ownerReferences" not in claim["metadata"]

    def test_an_invalid_document_is_told_in_the_words_of_the_command_line(self) -> None:
        owner = {**BEFORE, "spec": {**BEFORE["spec"], "trian": {}}}
        actions = plan(owner)
        assert operated.changes(actions) == ""
        truth, reason, message = operated.condition(actions, "Valid")
        assert (truth, reason) == ("False", "InvalidDocument")
        assert "spec.trian" in message and "did you mean" in message
        assert operated.events(actions) == ["InvalidDocument"]

    def test_local_files_do_not_go_to_a_cluster(self) -> None:
        found = wanted.run(operated.fine_tune(data="{train: rows.jsonl}"))
        assert isinstance(found, Invalid)
        assert "on one machine alone" in found.message


class TestObstacles:
    @pytest.mark.parametrize(
        ("seen", "reason", "words"),
        [
            ({"rival": "team-b/demo"}, "NameTaken", "team-b/demo registers its models as demo"),
            (
                {"lacks": ("RayJob: spec.preRunningDeadlineSeconds needs KubeRay 1.6",)},
                "KubeRayLacks",
                "needs KubeRay 1.6",
            ),
        ],
    )
    def test_they_are_told_and_looked_at_again(self, seen: dict[str, Any], reason: str, words: str) -> None:
        actions = plan(BEFORE, **seen)
        assert short(actions) == "Blocked"
        truth, why, message = operated.condition(actions, "Applied")
        assert (truth, why) == ("False", reason)
        assert words in message
        assert operated.events(actions) == [reason]
        assert operated.again(actions) == story.LOOK_AGAIN_S

    def test_what_somebody_else_has_made_is_not_taken_over(self) -> None:
        theirs = {**FIRST.job, "metadata": {**FIRST.job["metadata"], "ownerReferences": []}}
        actions = plan(BEFORE, theirs)
        assert short(actions) == "Blocked"
        assert operated.condition(actions, "Applied")[1] == "NameInUse"

    def test_once_they_are_gone_it_goes_on(self) -> None:
        stopped = operated.told(BEFORE, **operated.status(plan(BEFORE, rival="team-b/demo")))
        actions = plan(stopped)
        assert short(actions).endswith("+RayJob")
        assert operated.events(actions) == ["Pending", "Mended"]

    @pytest.mark.parametrize(
        ("status", "message", "reason"),
        [
            (403, 'rayjobs.ray.io is forbidden: User "o" cannot patch resource "rayjobs"', "Forbidden"),
            (403, "exceeded quota: team, requested: pods=1", "QuotaExceeded"),
            (404, "the server could not find the requested resource", "KindMissing"),
            (422, "RayJob is invalid: spec", "Refused"),
        ],
    )
    def test_a_refusal_of_the_server_is_told(self, status: int, message: str, reason: str) -> None:
        actions = plan(BEFORE, refusal=Refusal(status, message))
        truth, why, said = operated.condition(actions, "Applied")
        assert (truth, why) == ("False", reason)
        assert said.startswith(message)


def pod(*, waiting: str = "", message: str = "", unschedulable: str = "") -> Manifest:
    container = {"name": "ray-head", "image": "eagleray/worker:1", "state": {}}
    if waiting:
        container["state"] = {"waiting": {"reason": waiting, "message": message}}
    conditions = []
    if unschedulable:
        conditions = [
            {
                "type": "PodScheduled",
                "status": "False",
                "reason": "Unschedulable",
                "message": unschedulable,
                "lastTransitionTime": operated.ago(60),
            }
        ]
    return {
        "kind": "Pod",
        "metadata": {"name": "demo-head"},
        "status": {"conditions": conditions, "containerStatuses": [container]},
    }


@pytest.mark.parametrize(
    ("pods", "reason", "words"),
    [
        ((pod(waiting="ImagePullBackOff"),), "ImagePullFailed", "image eagleray/worker:1"),
        ((pod(waiting="ErrImagePull", message="denied"),), "ImagePullFailed", "denied"),
        ((pod(unschedulable="0/3 nodes: 3 Insufficient nvidia.com/gpu"),), "Unschedulable", "Insufficient nvidia"),
        (
            (pod(waiting="CreateContainerConfigError", message='secret "bucket" not found'),),
            "SecretMissing",
            'secret "bucket" not found',
        ),
        ((pod(waiting="CrashLoopBackOff"),), "CrashLoop", "kubectl logs demo-head --previous"),
        ((pod(waiting="ContainerCreating"),), "Stuck", "kubectl describe pod demo-head"),
        ((), "NoPods", "KubeRay has made no pods for 60 minutes"),
    ],
)
def test_what_is_wrong_with_pods_is_told_in_words(pods: tuple[Manifest, ...], reason: str, words: str) -> None:
    actions = plan(in_mid_run(BEFORE), *FIRST.beside, job("starting"), pods=pods)
    truth, why, message = operated.condition(actions, "PodsHealthy")
    assert (truth, why) == ("False", reason)
    assert words in message
    assert reason in operated.events(actions)
    mended = operated.told(BEFORE, **operated.status(actions))
    assert "Mended" in operated.events(plan(mended, *FIRST.beside, job("running")))


class TestDrift:
    def test_a_job_that_somebody_deleted_is_made_again(self) -> None:
        actions = plan(in_mid_run(BEFORE), *FIRST.beside)
        assert "JobRestored" in operated.events(actions)

    def test_an_edited_child_is_put_back(self) -> None:
        edited = job("running")
        edited["spec"] = {**edited["spec"], "backoffLimit": 99}
        actions = plan(in_mid_run(BEFORE), *FIRST.beside, edited)
        assert short(actions) == "Running: +RayJob"
        assert "Restored" in operated.events(actions)

    def test_what_others_add_is_left_alone(self) -> None:
        other = job("running")
        other["metadata"] = {**other["metadata"], "labels": {**other["metadata"]["labels"], "team": "a"}}
        other["spec"] = {**other["spec"], "managedBy": "ray.io/kuberay-operator"}
        assert short(plan(in_mid_run(BEFORE), *FIRST.beside, other)) == "Running"

    def test_the_queue_decides_whether_its_job_is_suspended(self) -> None:
        owner = operated.fine_tune(cluster="{queue: research}")
        made = operated.run(owner)
        admitted = job("running", made)
        admitted["spec"] = {**admitted["spec"], "suspend": False}
        owner = operated.told(owner, document=made.digest, attempt=1, phase="Queued")
        assert short(plan(owner, *made.beside, admitted)) == "Running"

    def test_a_run_is_not_disturbed_by_another_version_of_the_operator(self) -> None:
        other = job("running")
        other["metadata"]["annotations"] = {**other["metadata"]["annotations"], "eagleray.io/applied": "other"}
        other["spec"] = {**other["spec"], "backoffLimit": 99}
        assert short(plan(in_mid_run(BEFORE), *FIRST.beside, other)) == "Running"


RETRYING = operated.fine_tune(cluster="{lifecycle: {retries: 2, backoff_s: 100}}")
TRIED = operated.run(RETRYING)


class TestRetry:
    @pytest.mark.parametrize(
        ("attempt", "ended_s", "expected", "left_s"),
        [
            pytest.param(1, 40, "Retrying", 60, id="waits for its time"),
            pytest.param(1, 100, "Retrying: -RayJob", None, id="its time has come"),
            pytest.param(2, 100, "Retrying", 100, id="waits twice as long"),
            pytest.param(3, 1000, "Failed", None, id="was the last"),
        ],
    )
    def test_waits_longer_each_time(self, attempt: int, ended_s: float, expected: str, left_s: float | None) -> None:
        owner = operated.told(RETRYING, document=TRIED.digest, attempt=attempt, phase="Running")
        failed = operated.job(TRIED, attempt=attempt, deployed="Failed", endTime=operated.ago(ended_s))
        actions = plan(owner, *TRIED.beside, failed)
        assert short(actions) == expected
        assert operated.again(actions) == left_s

    def test_the_status_counts_before_the_job_goes(self) -> None:
        owner = operated.told(RETRYING, document=TRIED.digest, attempt=1, phase="Retrying")
        failed = operated.job(TRIED, deployed="Failed", endTime=operated.ago(500))
        actions = plan(owner, *TRIED.beside, failed)
        assert operated.status(actions)["attempt"] == 2
        order = [type(each) for each in actions]
        assert order.index(SetStatus) < order.index(Delete)
        counted = operated.told(owner, **operated.status(actions))
        killed = plan(counted, *TRIED.beside, failed)
        assert operated.changes(killed) == "-RayJob", "killed between the two"
        assert operated.status(killed)["attempt"] == 2
        (made,) = [each for each in plan(counted, *TRIED.beside) if isinstance(each, Apply)]
        assert made.manifest["metadata"]["annotations"][ATTEMPT] == "2"

    @pytest.mark.parametrize(
        ("outcome", "phase"), [("not-promoted", "NotPromoted"), ("refused", "Failed"), ("failed", "Retrying")]
    )
    def test_what_would_only_fail_again_is_not_tried_again(self, outcome: str, phase: str) -> None:
        owner = operated.told(RETRYING, document=TRIED.digest, attempt=1, phase="Running")
        beside = [each for each in TRIED.beside if not each["metadata"]["name"].endswith("-progress")]
        told = operated.progress(TRIED, outcome=outcome, message="f1_macro 0.1 is below 0.9")
        failed = operated.job(TRIED, deployed="Failed", endTime=operated.ago(10))
        actions = plan(owner, *beside, told, failed)
        assert short(actions) == phase
        assert "f1_macro 0.1 is below 0.9" in operated.status(actions)["message"]

    def test_what_an_earlier_job_told_does_not_count(self) -> None:
        owner = operated.told(RETRYING, document=TRIED.digest, attempt=1, phase="Running")
        told = operated.progress(TRIED, outcome="not-promoted", updated_at=operated.ago(9999))
        failed = operated.job(TRIED, deployed="Failed", endTime=operated.ago(10))
        assert short(plan(owner, told, failed)).startswith("Retrying")


WITH_ENDPOINT = operated.fine_tune(endpoint="{}", promote="{alias: champion}")
PROMOTED = operated.run(WITH_ENDPOINT)


def promoted(owner: Manifest = WITH_ENDPOINT) -> Manifest:
    made = operated.run(owner)
    return operated.told(
        owner, document=made.digest, attempt=1, finished=made.digest, outcome="Promoted", phase="Deploying"
    )


def answering() -> Manifest:
    assert PROMOTED.endpoint is not None
    status = {"endpointURL": "http://films", "conditions": [{"type": "Ready", "status": "True"}]}
    return {**PROMOTED.endpoint, "status": status}


class TestEndpoint:
    def test_there_is_none_before_the_promotion(self) -> None:
        owner = operated.told(WITH_ENDPOINT, document=PROMOTED.digest, phase="Running")
        assert short(plan(owner, *PROMOTED.beside, job("running", PROMOTED))) == "Running"

    def test_it_is_made_after_the_promotion(self) -> None:
        owner = operated.told(WITH_ENDPOINT, document=PROMOTED.digest, phase="Running")
        assert short(plan(owner, *PROMOTED.beside, job("succeeded", PROMOTED))) == "Deploying: +Endpoint"

    def test_it_answers(self) -> None:
        actions = plan(promoted(), *PROMOTED.beside, job("succeeded", PROMOTED), answering())
        assert short(actions) == "Serving"
        assert operated.status(actions)["endpointURL"] == "http://films"
        assert operated.condition(actions, "Ready")[0] == "True"

    def test_the_job_may_be_gone_by_then(self) -> None:
        assert short(plan(promoted(), answering())) == "Serving"

    def test_it_goes_on_to_answer_while_the_next_run_is_made(self) -> None:
        changed = operated.fine_tune(endpoint="{}", promote="{alias: champion}", train="{epochs: 9}")
        owner = operated.told(changed, **promoted()["status"])
        assert short(plan(owner, *PROMOTED.beside, answering())) == "Pending: +ConfigMap +RayJob"

    def test_it_goes_with_its_section(self) -> None:
        owner = operated.told(operated.fine_tune(promote="{alias: champion}"), **promoted()["status"])
        assert short(plan(owner, answering())) == "Promoted: -Endpoint"

    def test_replicas_that_somebody_scaled_stay(self) -> None:
        scaled = answering()
        scaled["spec"] = {**scaled["spec"], "endpoint": {"replicas": {"min": 7, "max": 9}}}
        assert operated.changes(plan(promoted(), scaled)) == ""


HELD = operated.fine_tune(cluster="{lifecycle: {on_delete: delete}}")
KEPT = operated.run(HELD)


class TestDeparture:
    @pytest.mark.parametrize(
        ("state", "expected"),
        [
            pytest.param(None, "Deleting: +Job", id="the cleaning begins"),
            pytest.param([], "Deleting", id="it goes on"),
            pytest.param([{"type": "Complete", "status": "True"}], "let go", id="it is done"),
            pytest.param([{"type": "Failed", "status": "True"}], "Deleting", id="it failed"),
        ],
    )
    def test_runs_are_deleted_first(self, state: list[Any] | None, expected: str) -> None:
        owner = operated.told(operated.leaving(HELD, FINALIZER), document=KEPT.digest)
        there = [] if state is None else [{**KEPT.cleaning, "status": {"conditions": state}}]
        assert short(plan(owner, *there)) == expected

    def test_a_failure_says_what_to_do(self) -> None:
        owner = operated.told(operated.leaving(HELD, FINALIZER), document=KEPT.digest)
        failed = {**KEPT.cleaning, "status": {"conditions": [{"type": "Failed", "status": "True"}]}}
        message = operated.condition(plan(owner, failed), "Applied")[2]
        assert "kubectl logs job/demo-cleaning" in message and "on_delete to keep" in message

    def test_others_finalizers_stay(self) -> None:
        owner = operated.leaving(BEFORE, "other.io/x", FINALIZER)
        (action,) = plan(owner)
        assert getattr(action, "finalizers", None) == ("other.io/x",)

    def test_an_invalid_document_without_a_run_is_let_go(self) -> None:
        owner = operated.leaving({**HELD, "spec": {**HELD["spec"], "trian": {}}}, FINALIZER)
        assert short(plan(owner)) == "let go"

    def test_an_invalid_document_with_runs_says_so(self) -> None:
        owner = operated.leaving({**HELD, "spec": {**HELD["spec"], "trian": {}}}, FINALIZER)
        actions = plan(operated.told(owner, document=KEPT.digest))
        assert operated.condition(actions, "Applied")[1] == "CleaningFailed"

    def test_the_job_of_the_cleaning_deletes_every_run_of_the_name(self) -> None:
        (container,) = KEPT.cleaning["spec"]["template"]["spec"]["containers"]
        assert [*container["command"], *container["args"]] == [
            *("eagleray", "runs", "delete", "demo", "--all", "--yes", "--force", "--storage", "s3://bucket/runs")
        ]


def test_progress_is_told() -> None:
    told = operated.progress(
        FIRST, phase="train", run="demo-0001", steps="120/600", metric="f1_macro 0.912", version="3"
    )
    beside = [each for each in FIRST.beside if each["metadata"]["name"] != told["metadata"]["name"]]
    status = operated.status(plan(in_mid_run(BEFORE), *beside, told, job("running")))
    shown = {key: status[key] for key in ("run", "progress", "bestMetric", "version", "message")}
    assert shown == {
        "run": "demo-0001",
        "progress": "120/600",
        "bestMetric": "f1_macro 0.912",
        "version": 3,
        "message": "train of demo-0001",
    }


def test_a_fork_is_asked_for_where_the_document_says_so() -> None:
    forking = operated.run(operated.fine_tune(cluster="{lifecycle: {on_change: fork}}"))
    assert forking.job["spec"]["entrypoint"].endswith("--until promote --fork")
    assert forking.digest == FIRST.digest, "how it is held or tried again makes no other run of it"


def test_nothing_is_remembered_between_plans() -> None:
    observed = Observed(BEFORE)
    assert planner.plan(FIRST, observed, operated.NOW) == planner.plan(FIRST, observed, operated.NOW)
