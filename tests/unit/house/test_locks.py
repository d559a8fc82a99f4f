"""The lock files are hashed, cover what the project declares, and name no place."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))
NPM_LOCKS = (ROOT / "ui" / "package-lock.json", ROOT / "ui" / "codegen" / "package-lock.json")
ENTRY = re.compile(r"^([a-z0-9-]+)==(\S+)( ; [^\\]+)? \\$", re.MULTILINE)


def pinned(lock: Path) -> dict[str, str]:
    return {name: version for name, version, _marker in ENTRY.findall(lock.read_text())}


def declared(requirements: list[str]) -> set[str]:
    names = (re.match(r"[A-Za-z0-9._-]+", requirement) for requirement in requirements)
    return {re.sub(r"[._]", "-", name[0]).lower() for name in names if name}


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_a_lock_names_no_host_and_no_path(lock: Path) -> None:
    text = lock.read_text()
    assert "://" not in text
    assert not re.findall(r"^\s*-(?!-hash=sha256:[0-9a-f]{64})|/|@", text, re.MULTILINE)


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_every_locked_package_has_a_hash(lock: Path) -> None:
    entries = re.split(r"^(?=\S)", lock.read_text(), flags=re.MULTILINE)[1:]
    assert len(entries) == len(pinned(lock)) > 0
    assert [entry for entry in entries if "--hash=sha256:" not in entry] == []


def test_the_locks_cover_everything_the_project_declares() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    groups = project["dependency-groups"]
    runtime = pinned(ROOT / "requirements" / "runtime.txt")
    assert declared(project["project"]["dependencies"] + groups["build"]) <= set(runtime)
    for name in ("dev", "ui", "node"):
        assert declared(groups[name]) <= set(pinned(ROOT / "requirements" / f"{name}.txt"))


def test_the_build_needs_nothing_that_is_not_locked() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert declared(project["build-system"]["requires"]) <= set(pinned(ROOT / "requirements" / "runtime.txt"))


def test_both_locks_agree_on_what_they_share() -> None:
    runtime, dev, ui = (pinned(ROOT / "requirements" / f"{name}.txt") for name in ("runtime", "dev", "ui"))
    assert {name for name in runtime.keys() & dev.keys() if runtime[name] != dev[name]} == set()
    both = runtime | dev
    assert {name for name in both.keys() & ui.keys() if both[name] != ui[name]} == set()


@pytest.mark.parametrize("lock", NPM_LOCKS, ids=lambda lock: lock.parent.name)
def test_the_locks_of_the_page_name_no_host_and_hash_everything(lock: Path) -> None:
    """Hosts stand in them only as addresses where a package asks for money, which nobody visits."""
    packages = json.loads(lock.read_text())["packages"]
    del packages[""]
    assert len(packages) > 20
    assert [name for name, entry in packages.items() if "resolved" in entry] == []
    assert [name for name, entry in packages.items() if not entry["integrity"].startswith("sha512-")] == []
    for entry in packages.values():
        entry.pop("funding", None)
    assert "://" not in json.dumps(packages)


def test_every_version_that_the_page_asks_for_is_exact() -> None:
    for lock in NPM_LOCKS:
        package = json.loads(lock.with_name("package.json").read_text())
        for version in {**package.get("dependencies", {}), **package["devDependencies"]}.values():
            assert re.fullmatch(r"\d+\.\d+\.\d+", version)
