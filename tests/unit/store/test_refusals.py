"""What a storage's error is called."""

from __future__ import annotations

import errno

import pytest

from eagleray.store import refusals

S3 = "Generic S3 error: Error performing PUT http://host/bucket/key in 1ms - "


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        pytest.param(PermissionError(errno.EACCES, "Permission denied"), refusals.NO_PERMISSION, id="permission"),
        pytest.param(OSError(errno.ENOSPC, "No space left"), refusals.DISK_FULL, id="full"),
        pytest.param(OSError("Unable to copy data to file: (os error 28)"), refusals.DISK_FULL, id="full-in-text"),
        pytest.param(OSError(errno.EROFS, "Read-only file system"), refusals.READ_ONLY, id="read-only"),
        pytest.param(Exception(S3 + "404 Not Found: <Code>NoSuchBucket</Code>"), refusals.NO_BUCKET, id="s3-bucket"),
        pytest.param(Exception("<Code>ContainerNotFound</Code>"), refusals.NO_BUCKET, id="azure-container"),
        pytest.param(Exception("PUT http://169.254.169.254/latest/api/token"), refusals.NO_CREDENTIALS, id="no-keys"),
        pytest.param(Exception("Error performing token request"), refusals.NO_CREDENTIALS, id="gs-no-keys"),
        pytest.param(Exception("MissingAccount"), refusals.NO_ACCOUNT, id="azure-account"),
        pytest.param(
            Exception(S3 + "403 Forbidden: <Code>InvalidAccessKeyId"), refusals.BAD_CREDENTIALS, id="bad-keys"
        ),
        pytest.param(Exception(S3 + "403 Forbidden: <Code>AccessDenied"), refusals.NO_PERMISSION, id="denied"),
        pytest.param(Exception(S3 + "301 Moved Permanently"), refusals.OTHER_REGION, id="region"),
        pytest.param(
            Exception(S3 + "after 3 retries - HTTP error: error sending request"), refusals.NOT_REACHABLE, id="dead"
        ),
        pytest.param(Exception(S3 + "503 Service Unavailable"), refusals.NOT_REACHABLE, id="overloaded"),
        pytest.param(Exception("kind: Builder, source: BadScheme"), refusals.NO_HTTP, id="http"),
    ],
)
def test_known_errors(error: Exception, reason: refusals.Reason) -> None:
    assert refusals.explain(error) is reason


def test_an_unknown_error_keeps_its_first_line() -> None:
    assert refusals.explain(Exception("\n  Something odd.\nDebug source: …")).what == "Something odd"
    assert refusals.explain(Exception()).what == "Exception"
