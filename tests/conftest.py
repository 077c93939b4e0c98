"""What holds for every test: the environment that libraries read, set before any of them is imported."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator

import pytest

# Read once, when the library is imported or when Ray starts: a fixture would come too late.
os.environ.update(
    {
        "RAY_AUTH_MODE": "disabled",  # else the first ray.init() of a machine writes a token and asks for it ever after
        "RAY_USAGE_STATS_ENABLED": "0",
        "HF_HUB_OFFLINE": "1",
        "HF_DATASETS_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",  # its threads and Ray's forks do not mix
        "OMP_NUM_THREADS": "1",  # two workers with two threads each are slower than with one on two cores
        "DS_ACCELERATOR": "cpu",
    }
)
# An address or a storage of the developer's own must not receive what tests write.
for name in ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS", "EAGLERAY_STORAGE"):
    os.environ.pop(name, None)


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tests neither read nor fill the developer's cache; Ray workers inherit the variable."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EAGLERAY_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI a skipped test fails: what is not run there is not run anywhere."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and os.environ.get("CI"):
        report.outcome = "failed"
        report.longrepr = f"skipped, which CI does not allow: {report.longrepr}"
    return report
