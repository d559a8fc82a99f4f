"""Finds a Chromium for the browser tests; as root on Debian it installs one. It downloads none itself."""

from __future__ import annotations

import os
import shutil
import subprocess

from tools.bootstrap import Failed

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
MEND = "apt install chromium, or set BROWSER_PATH to a Chromium or Chrome"
INSTALL_S = 900


def found() -> str | None:
    """Its path: $BROWSER_PATH, else what is on PATH. Raises Failed for a BROWSER_PATH that is none."""
    named = os.environ.get("BROWSER_PATH")
    if named:
        path = shutil.which(named)
        if path is None:
            raise Failed(f"BROWSER_PATH is {named}, which is no program; {MEND}")
        return path
    return next((path for name in NAMES if (path := shutil.which(name))), None)


def get() -> str:
    """Its path; installed first when it is missing and we may. Raises Failed with what to type."""
    if (path := found()) is not None:
        return path
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise Failed(f"no browser: {MEND}")
    print("podium: installing chromium …", flush=True)
    environ = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for words in (["update", "-qq"], ["install", "-y", "-qq", "--no-install-recommends", "chromium"]):
        done = subprocess.run(
            ["apt-get", *words], env=environ, capture_output=True, text=True, timeout=INSTALL_S
        )
        if done.returncode != 0:
            said = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
            raise Failed(f"apt-get {words[0]} failed ({said[:200]}); {MEND}")
    if (path := found()) is None:
        raise Failed(f"apt-get installed no browser; {MEND}")
    return path
