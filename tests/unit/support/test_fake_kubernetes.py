"""The fake API server, against what Kubernetes documents of a real one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import urllib3
from kubernetes import client
from urllib3.util import Retry

from tests.support.fake_kubernetes import Allowed, ApiServer, Fault

POOL = urllib3.PoolManager(retries=Retry(0, raise_on_status=False))
WIDGETS = "/apis/example.com/v1/namespaces/default/widgets"
MAPS = "/api/v1/namespaces/default/configmaps"
APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"

ITEM = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "image": {"type": "string"},
        "args": {"type": "array", "items": {"type": "string"}},
    },
}
SPEC = {
    "type": "object",
    "required": ["size"],
    "properties": {
        "size": {"type": "integer", "minimum": 1, "maximum": 9},
        "mode": {"type": "string", "enum": ["slow", "fast"], "default": "slow"},
        "note": {"type": "string"},
        "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        "parts": {
            "type": "array",
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["name"],
            "items": ITEM,
        },
        "order": {"type": "array", "items": {"type": "string"}},
    },
}
STATUS = {"type": "object", "properties": {"phase": {"type": "string"}}}
CRD = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "widgets.example.com"},
    "spec": {
        "group": "example.com",
        "scope": "Namespaced",
        "names": {"plural": "widgets", "kind": "Widget", "singular": "widget"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "subresources": {"status": {}},
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": SPEC, "status": STATUS}}},
            }
        ],
    },
}


@pytest.fixture
def server() -> Iterator[ApiServer]:
    with ApiServer(crds=[CRD]) as server:
        yield server


def widget(name: str = "one", **parts: Any) -> dict[str, Any]:
    metadata = {"name": name, **parts.pop("metadata", {})}
    return {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": metadata, "spec": {"size": 1, **parts}}


def config_map(name: str = "one", **parts: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, **parts.pop("metadata", {})}, **parts}


def ask(
    server: ApiServer, method: str, path: str, body: Any = None, *, kind: str = "application/json", token: str = ""
) -> tuple[int, dict[str, Any]]:
    headers = {"Content-Type": kind, "User-Agent": "tester/1"} | ({"Authorization": f"Bearer {token}"} if token else {})
    sent = None if body is None else json.dumps(body)
    answer = POOL.request(method, server.url + path, body=sent, headers=headers)
    return answer.status, answer.json()


def good(server: ApiServer, method: str, path: str, body: Any = None, **how: Any) -> dict[str, Any]:
    code, answer = ask(server, method, path, body, **how)
    assert code < 300, answer
    return answer


def apply(server: ApiServer, body: dict[str, Any], *, by: str, path: str = WIDGETS, query: str = "") -> tuple[int, Any]:
    where = f"{path}/{body['metadata']['name']}?fieldManager={by}{query}"
    return ask(server, "PATCH", where, body, kind=APPLY)


def events(server: ApiServer, path: str, version: str, *, query: str = "", wait_s: int = 0) -> list[dict[str, Any]]:
    """What a watch tells until it ends by itself."""
    where = f"{server.url}{path}?watch=true&resourceVersion={version}&timeoutSeconds={wait_s}{query}"
    answer = POOL.request("GET", where)
    return [json.loads(line) for line in answer.data.splitlines()]


class TestWriting:
    def test_an_object_gets_what_only_the_server_knows(self, server: ApiServer) -> None:
        made = good(server, "POST", WIDGETS, widget())["metadata"]
        assert made["uid"] and made["resourceVersion"] and made["creationTimestamp"]
        assert (made["generation"], made["namespace"]) == (1, "default")

    def test_a_name_is_there_once(self, server: ApiServer) -> None:
        good(server, "POST", WIDGETS, widget())
        code, answer = ask(server, "POST", WIDGETS, widget())
        assert (code, answer["reason"]) == (409, "AlreadyExists")

    @pytest.mark.parametrize(
        ("change", "generation"),
        [
            pytest.param({"spec": {"size": 2}}, 2, id="spec"),
            pytest.param({"spec": {"size": 1}}, 1, id="nothing"),
            pytest.param({"metadata": {"labels": {"a": "b"}}}, 1, id="labels"),
            pytest.param({"status": {"phase": "Odd"}}, 1, id="status by the wrong door"),
        ],
    )
    def test_the_generation_counts_changes_of_the_spec(
        self, server: ApiServer, change: dict[str, Any], generation: int
    ) -> None:
        good(server, "POST", WIDGETS, widget())
        now = good(server, "PATCH", f"{WIDGETS}/one", change, kind=MERGE)
        assert now["metadata"]["generation"] == generation
        assert "status" not in now

    def test_a_status_has_a_door_of_its_own(self, server: ApiServer) -> None:
        good(server, "POST", WIDGETS, {**widget(), "status": {"phase": "Early"}})
        change = {"spec": {"size": 5}, "status": {"phase": "Late"}}
        now = good(server, "PATCH", f"{WIDGETS}/one/status", change, kind=MERGE)
        assert (now["spec"]["size"], now["status"], now["metadata"]["generation"]) == (1, {"phase": "Late"}, 1)

    def test_what_changes_nothing_makes_no_version(self, server: ApiServer) -> None:
        before = good(server, "POST", WIDGETS, widget())
        after = good(server, "PATCH", f"{WIDGETS}/one", {"spec": {"size": 1}}, kind=MERGE)
        assert after["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]

    @pytest.mark.parametrize("how", ["PUT", MERGE, APPLY])
    def test_a_stale_version_is_refused(self, server: ApiServer, how: str) -> None:
        stale = good(server, "POST", WIDGETS, widget())
        good(server, "PATCH", f"{WIDGETS}/one", {"spec": {"size": 2}}, kind=MERGE)
        method, kind = ("PUT", "application/json") if how == "PUT" else ("PATCH", how)
        metadata = {"name": "one", "resourceVersion": stale["metadata"]["resourceVersion"]}
        code, answer = ask(
            server, method, f"{WIDGETS}/one?fieldManager=me", {**widget(size=3), "metadata": metadata}, kind=kind
        )
        assert (code, answer["reason"]) == (409, "Conflict")

    def test_a_json_patch_applies_or_is_refused(self, server: ApiServer) -> None:
        good(server, "POST", WIDGETS, widget())
        change = [{"op": "test", "path": "/spec/size", "value": 1}, {"op": "replace", "path": "/spec/size", "value": 4}]
        assert good(server, "PATCH", f"{WIDGETS}/one", change, kind=JSON_PATCH)["spec"]["size"] == 4
        assert ask(server, "PATCH", f"{WIDGETS}/one", change, kind=JSON_PATCH)[0] == 422

    def test_a_dry_run_changes_nothing(self, server: ApiServer) -> None:
        made = good(server, "POST", f"{WIDGETS}?dryRun=All", widget())
        assert made["metadata"]["uid"] and ask(server, "GET", f"{WIDGETS}/one")[0] == 404
        assert server.writes == []

    def test_writes_are_counted(self, server: ApiServer) -> None:
        good(server, "POST", WIDGETS, widget())
        good(server, "DELETE", f"{WIDGETS}/one")
        ask(server, "DELETE", f"{WIDGETS}/one")
        assert [(each.verb, each.resource, each.name) for each in server.writes] == [
            ("create", "widgets", "one"),
            ("delete", "widgets", "one"),
        ]

    def test_a_namespace_must_be_there(self, server: ApiServer) -> None:
        code, answer = ask(server, "POST", WIDGETS.replace("default", "nowhere"), widget())
        assert (code, answer["message"]) == (404, 'namespaces "nowhere" not found')


class TestSchema:
    @pytest.mark.parametrize(
        ("spec", "told"),
        [
            pytest.param({"size": 0}, "minimum", id="too small"),
            pytest.param({"size": "1"}, "must be of type integer", id="another type"),
            pytest.param({"size": None}, "spec.size", id="null"),
            pytest.param({"mode": "warp"}, "Unsupported value", id="none of the values"),
        ],
    )
    def test_what_breaks_it_is_refused(self, server: ApiServer, spec: dict[str, Any], told: str) -> None:
        code, answer = ask(server, "POST", WIDGETS, widget(**spec))
        assert code == 422
        assert told in answer["message"]

    def test_what_is_required_is_named(self, server: ApiServer) -> None:
        code, answer = ask(server, "POST", WIDGETS, {**widget(), "spec": {}})
        assert (code, answer["message"]) == (422, 'Widget.example.com "one" is invalid: spec.size: Required value')

    def test_defaults_are_filled_in_and_unknown_fields_taken_out(self, server: ApiServer) -> None:
        made = good(server, "POST", WIDGETS, widget(odd=1, free={"any": {"thing": 1}}))
        assert made["spec"] == {"size": 1, "mode": "slow", "free": {"any": {"thing": 1}}}

    def test_strictly_unknown_fields_are_refused(self, server: ApiServer) -> None:
        code, answer = ask(server, "POST", f"{WIDGETS}?fieldValidation=Strict", widget(odd=1))
        assert (code, answer["message"]) == (400, 'strict decoding error: unknown field "spec.odd"')

    def test_a_kind_is_there_once_it_is_defined(self) -> None:
        with ApiServer() as server:
            assert ask(server, "GET", WIDGETS)[0] == 404
            good(server, "POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", CRD)
            assert good(server, "GET", WIDGETS)["items"] == []
            assert {each["name"] for each in good(server, "GET", "/apis/example.com/v1")["resources"]} == {
                "widgets",
                "widgets/status",
            }


class TestApply:
    def test_it_creates_and_then_owns(self, server: ApiServer) -> None:
        apply(server, widget(note="mine"), by="a")
        found = good(server, "GET", f"{WIDGETS}/one")["metadata"]["managedFields"]
        assert [(each["manager"], each["operation"], each["fieldsV1"]) for each in found] == [
            ("a", "Apply", {"f:spec": {"f:note": {}, "f:size": {}}})
        ]

    def test_others_fields_conflict(self, server: ApiServer) -> None:
        apply(server, widget(note="mine"), by="a")
        code, answer = apply(server, widget(note="yours"), by="b")
        assert (code, answer["message"]) == (
            409,
            'Apply failed with 1 conflict: conflict with "a": .spec.note',
        )

    def test_force_takes_them(self, server: ApiServer) -> None:
        apply(server, widget(note="mine"), by="a")
        assert apply(server, widget(note="yours"), by="b", query="&force=true")[1]["spec"]["note"] == "yours"
        assert apply(server, widget(), by="a")[1]["spec"]["note"] == "yours", "it is not a's to take away"

    def test_the_same_value_is_shared(self, server: ApiServer) -> None:
        apply(server, widget(note="ours"), by="a")
        assert apply(server, widget(note="ours"), by="b")[0] == 200
        assert apply(server, widget(), by="a")[1]["spec"]["note"] == "ours"
        assert "note" not in apply(server, widget(), by="b")[1]["spec"]

    def test_what_is_no_longer_applied_goes(self, server: ApiServer) -> None:
        apply(server, widget(note="mine", metadata={"labels": {"a": "1"}}), by="a")
        now = apply(server, widget(), by="a")[1]
        assert "note" not in now["spec"] and "labels" not in now["metadata"]

    def test_a_default_is_nobodys(self, server: ApiServer) -> None:
        apply(server, widget(), by="a")
        assert apply(server, widget(mode="fast"), by="b")[0] == 200

    def test_a_list_is_one_value(self, server: ApiServer) -> None:
        apply(server, widget(order=["x"]), by="a")
        assert apply(server, widget(order=["x", "y"]), by="b")[0] == 409
        assert apply(server, widget(order=["y"]), by="a")[1]["spec"]["order"] == ["y"]

    def test_a_keyed_list_is_a_value_an_entry(self, server: ApiServer) -> None:
        apply(server, widget(parts=[{"name": "x", "image": "1"}]), by="a")
        code, now = apply(server, widget(parts=[{"name": "y", "image": "2"}]), by="b")
        assert (code, [part["name"] for part in now["spec"]["parts"]]) == (200, ["x", "y"])
        assert [part["name"] for part in apply(server, widget(), by="a")[1]["spec"]["parts"]] == ["y"]

    def test_ports_are_keyed_with_their_default(self, server: ApiServer) -> None:
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}}
        path = "/api/v1/namespaces/default/pods"
        first = {**pod, "spec": {"containers": [{"name": "c", "ports": [{"containerPort": 1, "name": "a"}]}]}}
        apply(server, first, by="a", path=path)
        port = {"containerPort": 1, "protocol": "TCP", "name": "b"}
        second = {**pod, "spec": {"containers": [{"name": "c", "ports": [port]}]}}
        assert apply(server, second, by="b", path=path)[0] == 409

    def test_an_update_takes_what_it_changes(self, server: ApiServer) -> None:
        apply(server, widget(note="mine"), by="a")
        good(server, "PATCH", f"{WIDGETS}/one", {"spec": {"note": "edited"}}, kind=MERGE)
        assert apply(server, widget(note="mine"), by="a")[0] == 409
        assert apply(server, widget(note="mine"), by="a", query="&force=true")[1]["spec"]["note"] == "mine"

    def test_finalizers_of_several_stand_beside_each_other(self, server: ApiServer) -> None:
        apply(server, widget(metadata={"finalizers": ["a.io/x"]}), by="a")
        now = apply(server, widget(metadata={"finalizers": ["b.io/x"]}), by="b")[1]
        assert now["metadata"]["finalizers"] == ["a.io/x", "b.io/x"]

    @pytest.mark.parametrize(
        ("body", "query", "code"),
        [
            pytest.param(widget(), "", 400, id="nobody"),
            pytest.param(widget(odd=1), "fieldManager=a", 400, id="unknown field"),
            pytest.param({**widget(), "kind": "Gadget"}, "fieldManager=a", 400, id="another kind"),
            pytest.param(widget(metadata={"managedFields": [{}]}), "fieldManager=a", 400, id="managed fields"),
            pytest.param(widget(metadata={"resourceVersion": "7"}), "fieldManager=a", 409, id="version of nothing"),
        ],
    )
    def test_bad_applies_are_refused(self, server: ApiServer, body: dict[str, Any], query: str, code: int) -> None:
        assert ask(server, "PATCH", f"{WIDGETS}/one?{query}", body, kind=APPLY)[0] == code

    def test_a_status_is_applied_apart(self, server: ApiServer) -> None:
        apply(server, widget(), by="a")
        told = {
            "apiVersion": "example.com/v1",
            "kind": "Widget",
            "metadata": {"name": "one"},
            "status": {"phase": "On"},
        }
        where = f"{WIDGETS}/one/status?fieldManager=a"
        assert good(server, "PATCH", where, told, kind=APPLY)["status"] == {"phase": "On"}
        assert apply(server, widget(size=2), by="a")[1]["status"] == {"phase": "On"}


class TestDeleting:
    def test_a_finalizer_holds_it(self, server: ApiServer) -> None:
        good(server, "POST", WIDGETS, widget(metadata={"finalizers": ["a.io/x"]}))
        held = good(server, "DELETE", f"{WIDGETS}/one")["metadata"]
        assert held["deletionTimestamp"] and held["generation"] == 2
        code, answer = ask(
            server, "PATCH", f"{WIDGETS}/one", {"metadata": {"finalizers": ["a.io/x", "a.io/y"]}}, kind=MERGE
        )
        assert (code, "no new finalizers" in answer["message"]) == (422, True)
        good(server, "PATCH", f"{WIDGETS}/one", {"metadata": {"finalizers": None}}, kind=MERGE)
        assert ask(server, "GET", f"{WIDGETS}/one")[0] == 404

    def test_a_precondition_must_hold(self, server: ApiServer) -> None:
        good(server, "POST", WIDGETS, widget())
        assert ask(server, "DELETE", f"{WIDGETS}/one", {"preconditions": {"uid": "other"}})[0] == 409

    @pytest.mark.parametrize(("policy", "stays"), [("Background", False), ("Foreground", False), ("Orphan", True)])
    def test_what_belongs_to_it_goes_too(self, server: ApiServer, policy: str, stays: bool) -> None:
        owner = good(server, "POST", WIDGETS, widget())
        good(server, "POST", MAPS, config_map(metadata={"ownerReferences": [_owner(owner)]}))
        good(server, "DELETE", f"{WIDGETS}/one", {"propagationPolicy": policy})
        assert (server.get("ConfigMap", "one") is not None) is stays
        assert server.get("Widget", "one") is None

    def test_what_has_another_owner_stays(self, server: ApiServer) -> None:
        owners = [good(server, "POST", WIDGETS, widget(name)) for name in ("one", "two")]
        good(server, "POST", MAPS, config_map(metadata={"ownerReferences": [_owner(each) for each in owners]}))
        good(server, "DELETE", f"{WIDGETS}/one")
        assert server.get("ConfigMap", "one") is not None
        good(server, "DELETE", f"{WIDGETS}/two")
        assert server.get("ConfigMap", "one") is None

    def test_what_belongs_to_nobody_that_is_there_goes(self, server: ApiServer) -> None:
        owner = good(server, "POST", WIDGETS, widget())
        good(server, "DELETE", f"{WIDGETS}/one")
        good(server, "POST", MAPS, config_map(metadata={"ownerReferences": [_owner(owner)]}))
        assert server.get("ConfigMap", "one") is None

    def test_an_owner_waits_in_the_foreground(self, server: ApiServer) -> None:
        owner = good(server, "POST", WIDGETS, widget())
        metadata = {"ownerReferences": [_owner(owner)], "finalizers": ["a.io/x"]}
        good(server, "POST", MAPS, config_map(metadata=metadata))
        good(server, "DELETE", f"{WIDGETS}/one", {"propagationPolicy": "Foreground"})
        assert server.get("Widget", "one") is not None
        server.change("ConfigMap", "one", {"metadata": {"finalizers": None}})
        assert server.get("Widget", "one") is None


class TestLists:
    @pytest.mark.parametrize(
        ("selector", "found"),
        [
            ("app=a", ["one"]),
            ("app!=a", ["three", "two"]),
            ("app in (a,b)", ["one", "two"]),
            ("app notin (a),app", ["two"]),
            ("app", ["one", "two"]),
            ("!app", ["three"]),
        ],
    )
    def test_labels_choose(self, server: ApiServer, selector: str, found: list[str]) -> None:
        for name, labels in (("one", {"app": "a"}), ("two", {"app": "b"}), ("three", {})):
            good(server, "POST", MAPS, config_map(name, metadata={"labels": labels}))
        items = good(server, "GET", f"{MAPS}?labelSelector={selector}")["items"]
        assert [each["metadata"]["name"] for each in items] == found

    def test_fields_choose(self, server: ApiServer) -> None:
        for name in ("one", "two"):
            good(server, "POST", MAPS, config_map(name))
        items = good(server, "GET", f"{MAPS}?fieldSelector=metadata.name%3Dtwo")["items"]
        assert [each["metadata"]["name"] for each in items] == ["two"]

    def test_a_long_list_comes_in_parts(self, server: ApiServer) -> None:
        for name in "abc":
            good(server, "POST", MAPS, config_map(name))
        first = good(server, "GET", f"{MAPS}?limit=2")
        rest = good(server, "GET", f"{MAPS}?limit=2&continue={first['metadata']['continue']}")
        assert [len(first["items"]), len(rest["items"])] == [2, 1]
        good(server, "DELETE", f"{MAPS}/a")
        server.expire()
        assert ask(server, "GET", f"{MAPS}?continue={first['metadata']['continue']}")[0] == 410


class TestWatches:
    def test_it_tells_what_came_after(self, server: ApiServer) -> None:
        began = good(server, "GET", MAPS)["metadata"]["resourceVersion"]
        good(server, "POST", MAPS, config_map())
        good(server, "PATCH", f"{MAPS}/one", {"data": {"a": "b"}}, kind=MERGE)
        good(server, "DELETE", f"{MAPS}/one")
        assert [each["type"] for each in events(server, MAPS, began)] == ["ADDED", "MODIFIED", "DELETED"]

    def test_what_no_longer_fits_is_gone_for_it(self, server: ApiServer) -> None:
        good(server, "POST", MAPS, config_map(metadata={"labels": {"app": "a"}}))
        began = good(server, "GET", MAPS)["metadata"]["resourceVersion"]
        good(server, "PATCH", f"{MAPS}/one", {"metadata": {"labels": {"app": "b"}}}, kind=MERGE)
        assert [each["type"] for each in events(server, MAPS, began, query="&labelSelector=app=a")] == ["DELETED"]
        assert [each["type"] for each in events(server, MAPS, began, query="&labelSelector=app=b")] == ["ADDED"]

    def test_an_old_version_has_expired(self, server: ApiServer) -> None:
        began = good(server, "GET", MAPS)["metadata"]["resourceVersion"]
        good(server, "POST", MAPS, config_map())
        server.expire()
        (told,) = events(server, MAPS, began, wait_s=5)
        assert (told["type"], told["object"]["code"]) == ("ERROR", 410)

    def test_a_namespace_hears_of_its_own(self, server: ApiServer) -> None:
        server.put({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "other"}})
        good(server, "POST", MAPS.replace("default", "other"), config_map("far"))
        good(server, "POST", MAPS, config_map("near"))
        assert [each["object"]["metadata"]["name"] for each in events(server, MAPS, "1")] == ["near"]
        everywhere = events(server, "/api/v1/configmaps", "1")
        assert [each["object"]["metadata"]["name"] for each in everywhere] == ["far", "near"]


ROLES = {
    "reader": [
        Allowed(("get", "list"), ("",), ("configmaps",)),
        Allowed(("patch",), ("",), ("configmaps",), ("mine", "new")),
        Allowed(("create",), ("",), ("configmaps",), ("mine",)),
    ]
}


class TestAccess:
    @pytest.mark.parametrize(
        ("method", "path", "code"),
        [
            ("GET", MAPS, 200),
            ("PATCH", f"{MAPS}/mine?fieldManager=a", 201),
            ("PATCH", f"{MAPS}/one?fieldManager=a", 403),
            ("PATCH", f"{MAPS}/new?fieldManager=a", 403),  # applying what is not there creates it
        ],
    )
    def test_a_rule_allows_what_it_names(self, method: str, path: str, code: int) -> None:
        name = path.partition("?")[0].rpartition("/")[2]
        with ApiServer(roles=ROLES) as server:
            body = None if method == "GET" else config_map(name)
            assert ask(server, method, path, body, kind=APPLY, token="reader")[0] == code

    def test_a_refusal_names_verb_and_resource(self) -> None:
        with ApiServer(roles=ROLES) as server:
            assert ask(server, "POST", MAPS, config_map(), token="reader")[1]["message"] == (
                'configmaps is forbidden: User "reader" cannot create resource "configmaps" in API group "" '
                'in the namespace "default"'
            )


class TestFaults:
    @pytest.mark.parametrize("status", [409, 410, 429, 500])
    def test_a_request_is_refused_and_the_next_is_not(self, server: ApiServer, status: int) -> None:
        server.inject(Fault(status, resources=("configmaps",)))
        assert [ask(server, "POST", MAPS, config_map())[0] for _ in range(2)] == [status, 201]

    def test_an_answer_is_lost_after_the_write(self, server: ApiServer) -> None:
        server.inject(Fault(after=True))
        with pytest.raises(urllib3.exceptions.HTTPError):
            ask(server, "POST", MAPS, config_map())
        assert server.get("ConfigMap", "one") is not None

    def test_nobody_is_answered_after_the_last_write(self, server: ApiServer) -> None:
        server.die_after(1)
        for _ in range(2):
            with pytest.raises(urllib3.exceptions.HTTPError):
                ask(server, "PATCH", f"{MAPS}/one?fieldManager=a", config_map(), kind=APPLY)
        server.revive()
        assert [each.verb for each in server.writes] == ["patch"]
        assert ask(server, "GET", f"{MAPS}/one")[0] == 200


def test_the_client_of_kubernetes_talks_to_it(server: ApiServer) -> None:
    api = client.ApiClient(client.Configuration(host=server.url))
    made = client.CoreV1Api(api).create_namespaced_config_map("default", client.V1ConfigMap(metadata={"name": "one"}))
    assert made.metadata.uid
    custom = client.CustomObjectsApi(api)
    custom.create_namespaced_custom_object("example.com", "v1", "default", "widgets", widget())
    assert [
        each["spec"]["size"] for each in custom.list_cluster_custom_object("example.com", "v1", "widgets")["items"]
    ] == [1]
    lease = client.V1Lease(metadata={"name": "l"}, spec=client.V1LeaseSpec(holder_identity="me"))
    assert client.CoordinationV1Api(api).create_namespaced_lease("default", lease).spec.holder_identity == "me"


def _owner(body: dict[str, Any]) -> dict[str, Any]:
    metadata = body["metadata"]
    return {"apiVersion": body["apiVersion"], "kind": body["kind"], "name": metadata["name"], "uid": metadata["uid"]}
