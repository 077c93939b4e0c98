"""What pods would not see is refused, each with what to use instead; small files go with the document."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from eagleray.errors import DocumentError, UserError
from eagleray.kube import manifests, places
from eagleray.spec import document
from eagleray.spec.cluster import ClaimSpec, ClusterSpec
from tests.support import documents, rendered

CLAIM = ClusterSpec(claim=ClaimSpec(name="shared"))


@pytest.mark.parametrize(
    ("storage", "cluster"),
    [
        pytest.param("s3://bucket/runs", ClusterSpec(), id="s3"),
        pytest.param("gs://bucket", ClusterSpec(), id="gs"),
        pytest.param("az://container", ClusterSpec(), id="az"),
        pytest.param("/shared/runs", CLAIM, id="claim"),
        pytest.param("file:///shared/runs", CLAIM, id="claim-as-uri"),
    ],
)
def test_a_storage_that_all_pods_see(storage: str, cluster: ClusterSpec) -> None:
    places.check_storage(storage, cluster)


@pytest.mark.parametrize(
    ("storage", "cluster", "instead"),
    [
        pytest.param("./runs", ClusterSpec(), r"is relative: .*s3://bucket/prefix", id="default"),
        pytest.param("runs", CLAIM, "is relative", id="relative"),
        pytest.param("/tmp/runs", ClusterSpec(), r"vanish with it: give a bucket .*: name its claim", id="tmp"),
        pytest.param("/tmp/runs", CLAIM, "below /shared, where cluster.claim is mounted", id="beside-the-claim"),
        pytest.param("/sharedruns", CLAIM, "vanish with it", id="not-below-the-claim"),
        pytest.param("file:///tmp/runs", ClusterSpec(), "vanish with it", id="tmp-as-uri"),
        pytest.param("memory://", ClusterSpec(), "vanish with it", id="memory"),
        pytest.param("az://c@acc/x?sig=secret", ClusterSpec(), r"az://c@acc/x\?\*\*\*: .*hold no keys", id="key"),
    ],
)
def test_a_storage_that_one_pod_sees(storage: str, cluster: ClusterSpec, instead: str) -> None:
    with pytest.raises(UserError, match=instead):
        places.check_storage(storage, cluster)


@pytest.mark.parametrize(
    ("sections", "finding"),
    [
        pytest.param(
            {"data": "{train: /home/me/a.jsonl}"}, "spec.data.train: /home/me/a.jsonl is there on one", id="train"
        ),
        pytest.param(
            {"data": "{train: a.jsonl}"}, "spec.data.train: a.jsonl is there on one machine alone", id="relative"
        ),
        pytest.param(
            {"data": "{train: pkg://a/b, test: /data/t.jsonl}"}, "spec.data.test: /data/t.jsonl is there", id="test"
        ),
        pytest.param(
            {"data": "{train: pkg://a/b, validation: {file: v.jsonl}}"}, "spec.data.validation.file: v.jsonl", id="file"
        ),
        pytest.param(
            {"model": "{source: /models/bert}"}, "spec.model.source: /models/bert is there on one", id="model"
        ),
        pytest.param(
            {"cluster": "{claim: {name: a, mount_path: /data}}", "model": "{source: /models/bert}"},
            "use a place below /data, a package",
            id="beside-the-claim",
        ),
    ],
)
def test_data_and_model_that_no_pod_sees(sections: dict[str, str], finding: str) -> None:
    with pytest.raises(DocumentError, match=finding):
        rendered.of_text(rendered.training(**sections))


@pytest.mark.parametrize(
    "sections",
    [
        pytest.param({"model": "{source: owner/encoder}"}, id="hub-id"),
        pytest.param({"data": "{train: hub://owner/rows#train}"}, id="hub"),
        pytest.param({"data": "{train: /shared/a.jsonl}", "cluster": "{claim: {name: a}}"}, id="claim"),
        pytest.param({"model": "{source: /shared/bert}", "cluster": "{claim: {name: a}}"}, id="model-on-claim"),
    ],
)
def test_data_and_model_that_all_pods_see(sections: dict[str, str]) -> None:
    rendered.of_text(rendered.training(**sections))


@pytest.mark.parametrize(
    ("endpoint", "cluster", "finding"),
    [
        pytest.param("{auth: {type: none}}", "{}", "spec.endpoint.auth.type: `none` is for one machine", id="no-auth"),
        pytest.param("{tls: {cert_file: /a, key_file: /b}}", "{}", "spec.endpoint.tls: ends at the ingress", id="tls"),
        pytest.param(
            "{auth: {type: keys, file: /etc/keys/keys.json}}",
            "{}",
            "spec.endpoint.auth.file: /etc/keys/keys.json is in no Secret",
            id="keys",
        ),
        pytest.param(
            "{auth: {type: jwt, algorithm: RS256, key_file: /etc/keysfile}}",
            "{secret_files: {a: /etc/keys}}",
            "spec.endpoint.auth.key_file: /etc/keysfile",
            id="jwt",
        ),
    ],
)
def test_an_endpoint_that_cannot_be_there(endpoint: str, cluster: str, finding: str) -> None:
    with pytest.raises(DocumentError, match=finding):
        rendered.of_text(rendered.endpoint(endpoint=endpoint, cluster=cluster))


def test_keys_in_a_secret_that_is_mounted() -> None:
    text = rendered.endpoint(
        endpoint="{auth: {type: keys, file: /etc/keys/keys.json}}", cluster="{secret_files: {my-keys: /etc/keys}}"
    )
    pods = str(rendered.of_kind(rendered.of_text(text), "RayService"))

    assert "{'name': 'secret-0', 'mountPath': '/etc/keys', 'readOnly': True}" in pods
    assert "{'secretName': 'my-keys', 'defaultMode': 288}" in pods


def test_a_name_that_no_service_may_have() -> None:
    with pytest.raises(DocumentError, match=r"metadata\.name: 3films begins with a digit"):
        rendered.of_text(rendered.training(name="3films"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.jsonl").write_text("{}\n", encoding="utf-8")
    (tmp_path / "data" / "b c.jsonl").write_bytes(b"\xff\xfe")
    return tmp_path


@pytest.mark.parametrize(
    ("train", "files"),
    [
        pytest.param("data/a.jsonl", {"data/a.jsonl"}, id="file"),
        pytest.param("data/*.jsonl", {"data/a.jsonl", "data/b c.jsonl"}, id="glob"),
        pytest.param("data", {"data/a.jsonl", "data/b c.jsonl"}, id="directory"),
        pytest.param("pkg://package/a.jsonl", set(), id="package"),
    ],
)
def test_small_files_go_with_the_document(folder: Path, train: str, files: set[str]) -> None:
    trained = document.loads(documents.text(data=f"{{train: {train}}}"), source="a.yaml").document
    found = places.beside(trained, folder)
    rendered_there = manifests.training(trained, storage_uri="s3://b", namespace="ml", files=found)
    job = rendered.of_kind(rendered_there, "RayJob")["spec"]["rayClusterSpec"]
    (config_map,) = [each for each in rendered_there.manifests if each["metadata"]["name"] == "films-document"]
    volumes = job["headGroupSpec"]["template"]["spec"]["volumes"]
    (items,) = [volume["configMap"]["items"] for volume in volumes if volume["name"] == "document"]

    assert set(found) == files
    assert all(re.fullmatch(r"[-._a-zA-Z0-9]+", item["key"]) for item in items)
    assert {item["path"] for item in items} == {"document.yaml", *files}
    assert {item["key"] for item in items} == {*config_map["data"], *config_map.get("binaryData", {})}
    assert "train: " + train in config_map["data"]["document.yaml"]


@pytest.mark.parametrize(
    ("train", "message"),
    [
        pytest.param("data/none.jsonl", "is not there: check the path", id="missing"),
        pytest.param("../data/a.jsonl", "is there on one machine alone", id="above"),
        pytest.param("/data/a.jsonl", "is there on one machine alone", id="absolute"),
        pytest.param("large.jsonl", "too large to go with the document: use a place on a shared volume", id="large"),
    ],
)
def test_files_that_cannot_go_along(folder: Path, train: str, message: str) -> None:
    (folder / "large.jsonl").write_bytes(b"\n" * (places.MAX_BYTES + 1))
    trained = document.loads(documents.text(data=f"{{train: {train}}}"), source="a.yaml").document

    with pytest.raises(DocumentError, match=message):
        places.beside(trained, folder)


@pytest.mark.parametrize(
    ("link", "sections", "finding"),
    [
        pytest.param(
            "model/notes.txt",
            {"data": "{train: data/a.jsonl}", "model": "{source: ./model}"},
            r"spec\.model\.source: .*notes\.txt is a link to .*id_rsa, outside the model's directory",
            id="in-a-model",
        ),
        pytest.param(
            "data/c.jsonl", {"data": "{train: data}"}, r"spec\.data\.train: .*c\.jsonl is a link", id="in-data"
        ),
        pytest.param("data/c.jsonl", {"data": "{train: data/*}"}, r"c\.jsonl is a link to .*id_rsa", id="glob"),
        pytest.param("data/c.jsonl", {"data": "{train: data/c.jsonl}"}, r"c\.jsonl is a link to .*id_rsa", id="file"),
    ],
)
def test_a_link_takes_nothing_along(folder: Path, link: str, sections: dict[str, str], finding: str) -> None:
    (folder / "model").mkdir()
    (folder / "model" / "config.json").write_text("{}", encoding="utf-8")
    secret = folder.parent / f"{folder.name}-id_rsa"
    secret.write_text("private", encoding="utf-8")
    (folder / link).symlink_to(secret)
    trained = document.loads(documents.text(**sections), source="a.yaml").document

    with pytest.raises(DocumentError, match=finding):
        places.beside(trained, folder)
