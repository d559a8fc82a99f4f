"""Which sandbox Codex has is found where it looks itself, and tried for an instant."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from podium.local.doctor import Finding, examine
from podium.local.sandboxes import RESOURCE, Sandbox, sandbox_of

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="bubblewrap is of Linux")
WORKS, REFUSED = "exit 0", "echo 'bwrap: setting up uid map: Permission denied' >&2; exit 1"


def script(path: Path, body: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


def installed_by_npm(folder: Path, *, bundled: str | None, nested: bool = False) -> Path:
    """The launcher on PATH, a link into its package; the program itself in a package beside it or below."""
    packages = folder / "node_modules" / "@openai"
    launcher = script(packages / "codex" / "bin" / "codex.js", "echo codex-cli 0.169.0")
    beside = packages / "codex" / "node_modules" / "@openai" if nested else packages
    vendor = beside / "codex-linux-x64" / "vendor" / "x86_64-unknown-linux-musl"
    script(vendor / "bin" / "codex", "echo codex-cli 0.169.0")
    if bundled is not None:
        script(vendor / RESOURCE, bundled)
    link = folder / "bin" / "codex"
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(launcher)
    return link


def found(program: Path, *more: Path) -> Sandbox:
    path = ":".join(str(folder) for folder in (program.parent, *more))
    return sandbox_of(str(program), {"PATH": path})


@pytest.mark.parametrize("nested", [False, True])
def test_without_one_on_path_the_one_that_it_brings_along_is_used(tmp_path: Path, nested: bool) -> None:
    codex = installed_by_npm(tmp_path, bundled=WORKS, nested=nested)
    sandbox = found(codex)
    assert (sandbox.whose, sandbox.refused) == ("bundled", "")
    assert sandbox.path.endswith(f"x86_64-unknown-linux-musl/{RESOURCE}")


def test_one_on_path_is_used_before_it(tmp_path: Path) -> None:
    codex = installed_by_npm(tmp_path, bundled=WORKS)
    bwrap = script(tmp_path / "system" / "bwrap", WORKS)
    assert found(codex, bwrap.parent) == Sandbox(whose="system", path=str(bwrap))


def test_a_program_without_a_launcher_brings_it_along_beside_itself(tmp_path: Path) -> None:
    codex = script(tmp_path / "codex-0.169.0" / "bin" / "codex", "exit 0")
    assert found(codex).whose == "none"
    script(tmp_path / "codex-0.169.0" / RESOURCE, WORKS)
    assert found(codex).whose == "bundled"


def test_one_that_the_machine_refuses_says_so_in_its_own_words(tmp_path: Path) -> None:
    sandbox = found(installed_by_npm(tmp_path, bundled=REFUSED))
    assert sandbox.refused == "bwrap: setting up uid map: Permission denied"


def finding(home: Path) -> Finding | None:
    return next((one for one in examine(home) if one.id == "codex-sandbox"), None)


@pytest.mark.parametrize(
    ("bundled", "ok", "words", "step"),
    [
        (WORKS, True, "bundled bubblewrap", "install bubblewrap"),
        (REFUSED, False, "Permission denied", "user namespaces"),
        (None, False, "none", "bubblewrap"),
    ],
)
def test_doctor_says_which_it_is_and_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bundled: str | None, ok: bool, words: str, step: str
) -> None:
    codex = installed_by_npm(tmp_path, bundled=bundled)
    monkeypatch.setenv("PATH", str(codex.parent))
    told = finding(tmp_path)
    assert told is not None
    assert told.ok is ok
    assert words in told.found
    assert step in told.next_step


def test_where_codex_is_not_installed_nothing_is_said_of_its_sandbox(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert finding(tmp_path) is None
