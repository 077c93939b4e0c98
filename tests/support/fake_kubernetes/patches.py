"""What do a merge patch (RFC 7386) and a JSON patch (RFC 6902) make of an object?"""

from __future__ import annotations

from typing import Any

import jsonpatch

from tests.support.fake_kubernetes.status import Refusal, bad_request


def merge(body: Any, patch: Any) -> Any:
    """RFC 7386: null takes a key away, a list replaces a list."""
    if not isinstance(patch, dict):
        return patch
    base = body if isinstance(body, dict) else {}
    kept = {key: value for key, value in base.items() if key not in patch}
    return {**kept, **{key: merge(base.get(key), value) for key, value in patch.items() if value is not None}}


def json(body: Any, operations: Any) -> Any:
    """RFC 6902. Raises Refusal where an operation does not apply."""
    try:
        return jsonpatch.apply_patch(body, operations)
    except jsonpatch.JsonPatchTestFailed as error:
        raise Refusal(
            422, "Invalid", f"the server rejected our request due to an error in our request: {error}"
        ) from error
    except (jsonpatch.JsonPatchException, jsonpatch.JsonPointerException) as error:
        raise bad_request(str(error)) from error
