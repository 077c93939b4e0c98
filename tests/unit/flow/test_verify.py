"""An endpoint is asked until it answers with what was promoted, or is known not to."""

from __future__ import annotations

from pathlib import Path

import pytest

from eagleray.errors import EaglerayError
from eagleray.flow.verify import verify
from eagleray.spec.serving import ServingSpec
from eagleray.store.objects import open_storage
from tests.support import loopback
from tests.support.versions import new_version, promote


def test_what_is_no_endpoint_is_no_answer(tmp_path: Path) -> None:
    objects = open_storage(str(tmp_path / "storage"))
    _, version = new_version(objects), new_version(objects)
    promote(objects, 2)
    promote(objects, 1, action="rollback")
    with loopback.answering(loopback.SSH) as port:
        endpoint = {"port": port, "auth": {"type": "none"}}
        spec = ServingSpec.model_validate(
            {"models": [{"name": "demo", "model": "demo@champion"}], "endpoint": endpoint}, strict=False
        )
        with pytest.raises(EaglerayError, match="was promoted and taken back"):
            verify(spec, objects, version, say=lambda message: None)
