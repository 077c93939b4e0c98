"""`eagleray render`: what it prints, writes and refuses."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from eagleray.cli.app import main
from eagleray.kube import client
from tests.support import api_server, rendered
from tests.support.api_server import ApiServer


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.delenv("EAGLERAY_STORAGE", raising=False)
    path = tmp_path / "job.yaml"
    path.write_text(rendered.training(), encoding="utf-8")
    return str(path)


def test_prints_one_text_for_kubectl(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["render", file, "--storage", "s3://b", "-n", "ml", "--set", "scale.num_workers=3"]) == 0

    told = capsys.readouterr()
    found = list(yaml.safe_load_all(told.out))
    (job,) = [each for each in found if each["kind"] == "RayJob"]
    assert {each["metadata"]["namespace"] for each in found} == {"ml"}
    assert job["spec"]["rayClusterSpec"]["workerGroupSpecs"][0]["replicas"] == 3
    assert told.err.startswith("RayJob films: 3 worker pods, each 1 CPU, 8Gi; image eagleray/worker:")


def test_writes_a_folder(file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert main(["render", file, "--storage", "s3://b", "--out", str(out)]) == 0

    assert (out / "rayjob-films.yaml").is_file()
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.endswith(f"kubectl apply --server-side -k {out}\n")


def test_an_endpoint_comes_after_its_first_promotion(
    file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main(["render", file, "--storage", "s3://b", "--out", str(out), "--set", "endpoint={}"]) == 0

    assert capsys.readouterr().err.endswith(
        f"first kubectl apply --server-side -k {out} -l eagleray.io/part=train, and with eagleray.io/part=serve once "
        "its RayJob has succeeded\n"
    )


def test_validates(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    crds = rendered.kuberay_folder()
    arguments = ["render", file, "--storage", "s3://b", "--validate", "--crds", str(crds)]

    assert main([*arguments, "--set", "cluster={monitoring: {}}"]) == 0

    told = capsys.readouterr().err
    assert "not checked: PodMonitor/films-train: there is no schema here for monitoring.coreos.com/v1 Pod" in told
    assert "8 objects are valid" in told


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param([], "storage ./runs is relative", id="default-storage"),
        pytest.param(["--storage", ""], "--storage is empty", id="empty-storage"),
        pytest.param(["--storage", "s3://AKIA:ab/cd@b"], "s3://***: a storage's URI is written", id="key-in-storage"),
        pytest.param(["--storage", "s3://b", "--crds", "/a"], "--crds is for --validate: give both", id="crds-alone"),
        pytest.param(["-n", "Ml_1", "--storage", "s3://b"], "--namespace Ml_1: at most 63 lower-case", id="namespace"),
        pytest.param(["--storage", "/tmp/runs"], "/tmp/runs would lie in one pod", id="tmp"),
        pytest.param(
            ["--storage", "s3://b", "--set", "cluster.workers.memory=8GB"],
            "an amount of memory as Kubernetes writes it, such as 8Gi",
            id="quantity",
        ),
        pytest.param(
            ["--storage", "s3://b", "--set", "cluster={ingress: {host: a.b}}"],
            "spec.cluster.callers: is empty: name the namespace in which the controller of the ingress runs",
            id="ingress-without-callers",
        ),
        pytest.param(
            ["--storage", "s3://b", "--set", "cluster={claim: {name: a, mount_path: /tmp/a}}"],
            "spec.cluster.claim.mount_path: /tmp/a and /tmp, which is mounted too, overlap",
            id="mount",
        ),
        pytest.param(
            ["--storage", "s3://b", "--validate", "--crds", "/nowhere"], "/nowhere is no folder: give one", id="crds"
        ),
    ],
)
def test_refuses(file: str, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["render", file, *arguments]) == 2

    assert message in " ".join(capsys.readouterr().err.split())


def test_an_endpoint_has_no_shared_cluster(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "endpoint.yaml"
    path.write_text(rendered.endpoint(), encoding="utf-8")

    assert main(["render", str(path), "--shared-cluster"]) == 2
    assert "trains nothing: give a document of kind FineTune" in capsys.readouterr().err


def test_a_shared_cluster_needs_no_storage(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["render", file, "--shared-cluster"]) == 0

    kinds = [each["kind"] for each in yaml.safe_load_all(capsys.readouterr().out)]
    assert "RayCluster" in kinds
    assert "RayJob" not in kinds


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ApiServer]:
    with api_server.running() as found:
        (tmp_path / "kubeconfig").write_text(found.kubeconfig(), encoding="utf-8")
        monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
        yield found


def test_asks_the_server(file: str, server: ApiServer, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["render", file, "--storage", "s3://b", "--server"]) == 0

    assert "the cluster would take 8 objects" in capsys.readouterr().err
    assert {method for method, *_ in server.requests} == {"PATCH"}
    assert {str(asked["dryRun"]) for _, _, asked, _ in server.requests} == {"['All']"}


def test_says_what_the_server_refuses(file: str, server: ApiServer, capsys: pytest.CaptureFixture[str]) -> None:
    server.refusals["/apis/ray.io/v1/namespaces/default/rayjobs/films"] = "exceeded quota: gpus"

    assert main(["render", file, "--storage", "s3://b", "--server"]) == 2

    told = capsys.readouterr()
    assert "RayJob/films: exceeded quota: gpus" in told.err
    assert told.out == ""


def test_prints_what_would_change(file: str, server: ApiServer, capsys: pytest.CaptureFixture[str]) -> None:
    def difference() -> str:
        assert main(["render", file, "--storage", "s3://b", "--diff"]) == 0
        return capsys.readouterr().out

    assert "+++ RayJob/films rendered" in difference()
    for manifest in rendered.of_text(rendered.training(), storage="s3://b", namespace="default").manifests:
        server.objects[client.path(manifest)] = manifest
    assert difference() == ""
