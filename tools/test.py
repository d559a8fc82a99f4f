"""`./podium test [LANE …] [--all] [--database sqlite|postgresql|both] [-- PYTEST ARGUMENTS]`: run the tests,
a lane per directory of tests/.

Without a lane: every default lane that exists. `--all` adds the lanes that need more of the machine, and runs
what opens a store on both databases. A lane named on the command line, or a database, runs or fails with the
line that mends it; it is never skipped in silence.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from tools.bootstrap import Failed, become, is_current

DEFAULT_LANES = ("unit", "contract", "integration", "acceptance", "security", "histories")
EXTRA_LANES = ("agents", "faults", "ui")
LANES = DEFAULT_LANES + EXTRA_LANES
ALONE = ("ui",)
"""Lanes with processes of their own: a browser's driver leaves its event loop running in the thread of the
tests, where no other loop can then start."""
NODE_FLOOR = 20
PLACES = ("usr/lib/postgresql/*/bin", "usr/pgsql-*/bin", "opt/homebrew/opt/postgresql*/bin")
"""Where distributions put the programs of PostgreSQL, off PATH."""
DATABASE = "--database"
DATABASES = ("sqlite", "postgresql", "both")
USAGE = (
    f"usage: ./podium test [LANE …] [--all] [{DATABASE} {'|'.join(DATABASES)}] [-- PYTEST ARGUMENTS]; "
    f"lanes: {', '.join(LANES)}"
)


def lack_of_git() -> str:
    return "" if shutil.which("git") else "git is missing: apt install git"


def lack_of_node() -> str:
    """The real agent CLIs are node programs."""
    mend = f"install Node {NODE_FLOOR} or newer (node and npm on PATH)"
    node = shutil.which("node")
    if node is None or shutil.which("npm") is None:
        return f"node is missing: {mend}"
    said = subprocess.run([node, "--version"], capture_output=True, text=True, timeout=30).stdout
    found = re.match(r"v(\d+)\.", said)
    if found is None or int(found[1]) < NODE_FLOOR:
        return f"node {said.strip() or 'does not run'} is too old: {mend}"
    return ""


def lack_of_postgresql() -> str:
    """Tests start a server of their own: its programs must be here, running or not does not matter."""
    given = os.environ.get("PODIUM_TEST_DATABASE_URL")
    here = shutil.which("initdb") or any(list(Path("/").glob(f"{place}/initdb")) for place in PLACES)
    if given or here:
        return ""
    return "PostgreSQL is missing: apt install postgresql, or name a server: PODIUM_TEST_DATABASE_URL=…"


LACKS: dict[str, tuple[Callable[[], str], ...]] = {
    "integration": (lack_of_git,),
    "acceptance": (lack_of_git,),
    "security": (lack_of_git,),
    "faults": (lack_of_git,),
    "agents": (lack_of_git, lack_of_node),
    "ui": (lack_of_git,),
}
"""What a lane needs beyond the locked packages: each function says what is missing, or nothing."""


def prepare_ui(root: Path) -> None:
    """What the lane `ui` needs: its packages, a browser, the page as it is in the sources. Raises Failed."""
    from tools import browser, install, ui

    lock = root / "requirements" / "ui.txt"
    if not is_current(root, lock):
        install.bring_up_to_date(root, [lock])
    os.environ["BROWSER_PATH"] = browser.get()
    ui.bring_up_to_date(root)


PREPARE: dict[str, Callable[[Path], None]] = {"ui": prepare_ui}
"""What is done for a lane before it runs, because only that lane needs it."""


def tests_in(root: Path, lane: str) -> bool:
    return any((root / "tests" / lane).rglob("test_*.py"))


def chosen(root: Path, words: list[str]) -> list[str]:
    """The lanes to run, in the fixed order. Raises Failed for an unknown, empty or impossible one."""
    named = [word for word in words if word != "--all"]
    unknown = [word for word in named if word not in LANES]
    if unknown:
        raise Failed(f"there is no lane {unknown[0]!r}; {USAGE}")
    wanted = set(named) or {lane for lane in DEFAULT_LANES if tests_in(root, lane)}
    if "--all" in words:
        wanted |= {lane for lane in LANES if tests_in(root, lane)}
    for lane in sorted(wanted, key=LANES.index):
        if not tests_in(root, lane):
            raise Failed(f"lane {lane} has no tests in this version; leave it out")
        for lack in LACKS.get(lane, ()):
            if reason := lack():
                raise Failed(f"lane {lane} cannot run: {reason}")
    if not wanted:
        raise Failed("there are no tests in tests/; is this a whole clone?")
    return sorted(wanted, key=LANES.index)


def database_of(words: list[str]) -> tuple[str, list[str]]:
    """The database that was asked for, and the other words. Raises Failed when it cannot be used."""
    database, rest = ("both" if "--all" in words else "sqlite"), list(words)
    if DATABASE in rest:
        at = rest.index(DATABASE)
        database = rest[at + 1] if at + 1 < len(rest) else ""
        del rest[at : at + 2]
    if database not in DATABASES:
        raise Failed(f"there is no database {database!r}; {USAGE}")
    if database != "sqlite" and (reason := lack_of_postgresql()):
        raise Failed(f"the tests cannot run on it: {reason}")
    return database, rest


def main(arguments: list[str], root: Path) -> int:
    """Becomes pytest, so that its exit code and closing line are the ones seen; lanes of ALONE run before it.

    Raises Failed before either.
    """
    split = arguments.index("--") if "--" in arguments else len(arguments)
    words, extra = arguments[:split], arguments[split + 1 :]
    if "--help" in words or "-h" in words:
        print(USAGE)
        return 0
    database, words = database_of(words)
    lanes = chosen(root, words)
    for lane in lanes:
        if lane in PREPARE:
            PREPARE[lane](root)
    os.chdir(root)
    with_browser = [f"tests/{lane}" for lane in lanes if lane in ALONE]
    others = [f"tests/{lane}" for lane in lanes if lane not in ALONE]
    # By group: what has a browser stays in one process, two of them are slower than one.
    pytest = ("-m", "pytest", "-n", "2", "--dist", "loadgroup", DATABASE, database)
    if with_browser and others:
        first = subprocess.run(
            [str(root / ".venv/bin/python"), "-P", *pytest, *with_browser, *extra], check=False
        )
        if first.returncode:
            return first.returncode
    return become(root, *pytest, *(others or with_browser), *extra)
