"""Every shipped document and every shipped manifest is one that a cluster with KubeRay takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from eagleray.kube import restricted, security, validate, volumes, yaml_text
from eagleray.kube.manifests import file_name
from eagleray.kube.target import RAY_VERSION
from tests.support import rendered
from tests.support.shipped import built

ROOT = Path(__file__).parents[2]
# Of the digits the images are written by a script: without them beside it the document names files that are not there.
DOCUMENTS = sorted(
    path
    for path in [*(ROOT / "jobs").rglob("*.yaml"), ROOT / "serve" / "endpoint.yaml"]
    if path.stem != "image-classification"
)
BASES = sorted(path.parent for path in (ROOT / "cluster").rglob("kustomization.yaml"))


@pytest.fixture(scope="session")
def crds() -> validate.Crds:
    return rendered.kuberay_crds()


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.stem)
def test_every_document_becomes_valid_objects(path: Path, crds: validate.Crds) -> None:
    assert validate.check(rendered.of_file(path).manifests, crds) == validate.Verdict()


@pytest.mark.parametrize("case", rendered.CASES, ids=lambda case: case.name)
def test_every_form_becomes_valid_objects(case: rendered.Case, crds: validate.Crds) -> None:
    verdict = validate.check(case.render().manifests, crds)

    assert verdict.wrong == ()
    # Of what is no part of Kubernetes or KubeRay there is no schema here.
    assert {each.partition("/")[0] for each in verdict.unknown} <= {"HTTPRoute", "PodMonitor", "ServiceMonitor"}


@pytest.mark.parametrize(
    ("kind", "change", "message"),
    [
        pytest.param("RayJob", {"entrypont": "x"}, "spec.entrypont: unknown field, did you mean entrypoint?", id="ray"),
        pytest.param("NetworkPolicy", {"podSelektor": {}}, "Additional properties are not allowed", id="built-in"),
        pytest.param("RayJob", {"managedBy": "me"}, "the managedBy field value must be either", id="cel"),
        pytest.param("RayJob", {"backoffLimit": -1}, "spec.backoffLimit: is negative", id="operator"),
    ],
)
def test_what_is_wrong_is_found(kind: str, change: dict[str, Any], message: str, crds: validate.Crds) -> None:
    manifest = rendered.of_kind(rendered.CASES[0].render(), kind)
    verdict = validate.check([{**manifest, "spec": {**manifest["spec"], **change}}], crds)

    assert any(message in each for each in verdict.wrong), verdict


@pytest.mark.parametrize("base", BASES, ids=lambda path: path.relative_to(ROOT / "cluster").as_posix())
def test_every_base_and_overlay_is_valid(base: Path, crds: validate.Crds) -> None:
    found = built(base.relative_to(ROOT / "cluster").as_posix())

    assert found
    assert validate.check(found, crds) == validate.Verdict()
    for manifest in found:
        assert [each for _, pod in restricted.pods(manifest) for each in restricted.violations(pod)] == []


def test_the_shared_cluster_is_what_is_committed() -> None:
    """`python -m tests.support.rendered` writes it anew."""
    files = {file_name(each): yaml_text.dump(each) for each in rendered.shared_cluster().manifests}
    folder = rendered.SHARED_CLUSTER

    assert {path.name for path in folder.iterdir()} == {*files, "kustomization.yaml"}
    assert {name: (folder / name).read_text(encoding="utf-8") for name in files} == files


def test_the_image_has_the_user_and_the_home_of_the_pods() -> None:
    text = (ROOT / "cluster" / "images" / "worker.Dockerfile").read_text(encoding="utf-8")

    assert f"\nUSER {security.USER}:{security.USER}\n" in text
    assert f"--uid {security.USER} " in text
    assert f" HOME={volumes.HOME} " in text


def test_ray_is_the_version_in_the_lock() -> None:
    assert f"\nray=={RAY_VERSION}\n" in (ROOT / "requirements.lock").read_text(encoding="utf-8")
