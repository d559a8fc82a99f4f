"""A machine on which every inotify instance is taken."""

from __future__ import annotations

import shlex
import subprocess

import pytest

from podium.testing.fleet import PODIUM, Fleet

NONE_LEFT = "echo 0 > /proc/sys/user/max_inotify_instances"


def without_inotify(command: str, **fields: object) -> subprocess.CompletedProcess[str]:
    """A shell command in a user namespace that may have none: nobody else is disturbed."""
    words = ["unshare", "-Ur", "sh", "-c", f"{NONE_LEFT} && {command}"]
    return subprocess.run(words, capture_output=True, text=True, timeout=60, check=False, **fields)  # type: ignore[call-overload,no-any-return]


@pytest.mark.parametrize("words", [["worker"], ["up"]], ids=" ".join)
def test_what_needs_one_ends_with_one_line_and_the_remedy(words, tmp_path):
    """Once: the traceback of a task group."""
    if without_inotify("true").returncode:
        pytest.skip("no user namespaces here")
    home = Fleet(tmp_path / "home")
    done = without_inotify(shlex.join([*PODIUM, *words]), env=home.environ)
    assert (done.returncode, done.stderr) == (
        1,
        "Error: no inotify instance is free for this user\n  raise fs.inotify.max_user_instances\n",
    )
    home.stop()
