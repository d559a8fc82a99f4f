"""What every test can rely on: a clean environment, and an error when processes are left behind."""

from __future__ import annotations

import os
import select
import signal
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.databases import CHOICES, ONLY, OPTION, cluster, database, databases, is_chosen, wanted

__all__ = ["cluster", "database", "databases"]

MARKER = "PODIUM_TEST_SESSION"
FOR_TESTS = "PODIUM_TEST_"
"""Settings of the tests themselves: where lanes keep what they install, how long the long ones take."""
LEFT_BEHIND_GRACE_S = 5.0

# Examples on two busy cores may be slow without being wrong; the per-test timeout is the limit.
settings.register_profile("podium", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("podium")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(OPTION, choices=sorted(CHOICES), default="sqlite", help="what stores of tests stand on")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "database" in metafunc.fixturenames:
        metafunc.parametrize("database", wanted(metafunc), indirect=True)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What is about a database that was not chosen is left out, and counted as such."""
    left_out = [item for item in items if not is_chosen(item)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if is_chosen(item)]


def pytest_configure(config: pytest.Config) -> None:
    """Nothing that the developer has set for their own Podium or git may reach a test."""
    config.addinivalue_line("markers", f"{ONLY}(name): what this is about exists on one database only")
    for name in list(os.environ):
        if name.startswith(("PODIUM_", "GIT_")) and not name.startswith(FOR_TESTS):
            del os.environ[name]
    os.environ[MARKER] = uuid.uuid4().hex
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # Started in the background of a script: what we start would inherit it, and be deaf to Ctrl-C.
        signal.signal(signal.SIGINT, signal.default_int_handler)


def carriers(marker: bytes) -> Iterator[int]:
    """Processes started with this marker in their environment (Linux; nothing elsewhere)."""
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if marker in (entry / "environ").read_bytes().split(b"\0"):
                yield int(entry.name)
        except OSError:
            continue  # ended meanwhile, or another user's


def ends_within(pid: int, grace_s: float) -> bool:
    try:
        descriptor = os.pidfd_open(pid)
    except OSError:
        return True
    try:
        return bool(select.select([descriptor], [], [], grace_s)[0])
    finally:
        os.close(descriptor)


@pytest.fixture(scope="session", autouse=True)
def nothing_is_left_behind() -> Iterator[None]:
    """Kills and reports what tests started and did not end. Sees what inherited our environment."""
    yield
    if not sys.platform.startswith("linux"):
        return
    left = []
    for pid in carriers(f"{MARKER}={os.environ[MARKER]}".encode()):
        try:
            argv = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if not ends_within(pid, LEFT_BEHIND_GRACE_S):
            left.append(f"{pid}: {argv[:200]}")
            os.kill(pid, signal.SIGKILL)
    assert not left, "tests left processes behind:\n" + "\n".join(left)
