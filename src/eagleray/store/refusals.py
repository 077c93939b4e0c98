"""Why a storage refused an operation, in words that say what to do about it."""

from __future__ import annotations

import errno
import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reason:
    """What is wrong, and what mends it."""

    what: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.what}. {self.remedy}"


NO_BUCKET = Reason("there is no such bucket", "Create it, or correct the storage's URI and the endpoint")
NO_CREDENTIALS = Reason(
    "no credentials were found",
    "Set them in the environment (s3: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; gs: GOOGLE_APPLICATION_CREDENTIALS; "
    "az: AZURE_STORAGE_ACCOUNT_KEY), or give this machine a role",
)
BAD_CREDENTIALS = Reason("the credentials were refused", "Check that the keys in the environment are right and valid")
NO_PERMISSION = Reason("no permission", "Give this user read and write access, or choose another storage")
NOT_REACHABLE = Reason(
    "the endpoint cannot be reached or does not answer",
    "Check the network and the endpoint in the environment (s3: AWS_ENDPOINT_URL)",
)
NO_HTTP = Reason(
    "the endpoint is plain http, which is not allowed", "Use https, or set AWS_ALLOW_HTTP=true for a trusted network"
)
NO_ACCOUNT = Reason("no storage account is given", "Set AZURE_STORAGE_ACCOUNT_NAME in the environment")
OTHER_REGION = Reason("the bucket is in another region", "Set AWS_REGION to the region of the bucket")
DISK_FULL = Reason("no space is left", "Free some (`eagleray runs delete`, `eagleray cache prune`) or use another disk")
NOT_THERE = Reason("it is not there", "Check the path, and that the disk is mounted")
READ_ONLY = Reason("the file system is read-only", "Make it writable, or choose another storage")

_BY_NUMBER = {
    errno.EACCES: NO_PERMISSION,
    errno.EPERM: NO_PERMISSION,
    errno.ENOSPC: DISK_FULL,
    errno.EDQUOT: Reason("the quota is used up", "Free some space, ask for more, or use another disk"),
    errno.EFBIG: Reason("the file is larger than allowed here", "Raise the limit (`ulimit -f`) or use another disk"),
    errno.EROFS: READ_ONLY,
    errno.ENOTDIR: Reason("a part of the path is a file", "Choose a path whose parents are directories"),
    errno.EEXIST: Reason("a file has this name", "Choose a directory, or move the file away"),
    errno.EISDIR: Reason("a directory has this name", "Move the directory away"),
    errno.ENOENT: NOT_THERE,
    errno.ENAMETOOLONG: Reason("the path is too long", "Choose a storage with a shorter path"),
    errno.EIO: Reason("the disk reports an error", "Check the disk, or use another one"),
    errno.EMFILE: Reason("this process has too many open files", "Raise the limit (`ulimit -n`)"),
    errno.ECONNREFUSED: NOT_REACHABLE,
    errno.EHOSTUNREACH: NOT_REACHABLE,
    errno.ENETUNREACH: NOT_REACHABLE,
    errno.ETIMEDOUT: NOT_REACHABLE,
}

# Looked for in this order: an answer of the server says more than the failure of the request that carries it.
_BY_TEXT = (
    (r"NoSuchBucket|ContainerNotFound|bucket does not exist", NO_BUCKET),
    (r"169\.254\.\d+\.\d+|token request|metadata\.google|MissingCredentials|MissingAccessKeyId", NO_CREDENTIALS),
    (r"MissingAccount", NO_ACCOUNT),
    (r"InvalidAccessKeyId|SignatureDoesNotMatch|ExpiredToken|InvalidToken|AuthenticationFailed", BAD_CREDENTIALS),
    (r"PermanentRedirect|AuthorizationHeaderMalformed|301 Moved", OTHER_REGION),
    (r"401 Unauthorized", BAD_CREDENTIALS),
    (r"AccessDenied|403 Forbidden|405 Method Not Allowed", NO_PERMISSION),
    (r"BadScheme", NO_HTTP),
    (r"QuotaExceeded|XMinioStorageFull|507 Insufficient", DISK_FULL),
    (r"error sending request|dns error|connection (closed|refused|reset)|timed out|5\d\d [A-Z]\w+", NOT_REACHABLE),
)

_NUMBER_IN_TEXT = re.compile(r"\(os error (\d+)\)")


def explain(error: Exception) -> Reason:
    """Name the reason behind an error of the storage or of the operating system."""
    number, text = _number_of(error), str(error)
    if number in _BY_NUMBER:
        return _BY_NUMBER[number]
    for pattern, reason in _BY_TEXT:
        if re.search(pattern, text, re.IGNORECASE):
            return reason
    return Reason(_first_line(text) or type(error).__name__, "Check the storage's URI and try again")


def _number_of(error: Exception) -> int:
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno
    found = _NUMBER_IN_TEXT.search(str(error))
    return int(found.group(1)) if found else 0


def _first_line(text: str) -> str:
    return next((line.strip() for line in text.splitlines() if line.strip()), "").rstrip(".")
