"""Each contract of the house breaks when, and only when, something it forbids is planted."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
CONTRACTS = {
    contract["id"]: contract["name"]
    for contract in tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
}
SEEDED = [
    # importer, imported, all the contracts that must break
    ("store", "podium.client", "floors"),
    ("client", "podium.process", "floors"),
    ("app", "podium.testing", "floors"),
    ("attic", "podium.kernel", "floors"),  # a room that has no floor
    ("kernel", "podium.engine", "floors kernel"),
    ("git", "podium.process", "floors adapters"),
    ("harness", "podium.bus", "floors adapters"),
    ("engine", "podium.worker", "floors engine"),
    ("playbooks", "podium.worker", "floors playbooks"),
    ("worker", "podium.gateway", "floors worker"),
    ("worker", "podium.playbooks", "floors worker"),
    ("cli", "podium.local", "floors cli"),
    ("kernel", "anyio", "kernel"),
    ("bus", "podium.store", "adapters"),
    ("process", "podium.client", "adapters"),
    ("engine", "podium.client", "engine"),
    ("worker", "podium.engine", "worker"),
    ("worker", "podium.store", "worker"),
    ("playbooks", "podium.client", "playbooks"),
    ("gateway", "podium.worker", "gateway"),
    ("gateway", "podium.harness", "gateway"),
    ("cli", "podium.engine", "cli"),
    ("cli", "podium.git", "cli"),
    ("local", "podium.store", "local"),
]


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """A copy of the source that lint-imports can judge."""
    ignored = shutil.ignore_patterns("__pycache__", "web")
    shutil.copytree(ROOT / "src" / "podium", tmp_path / "src" / "podium", ignore=ignored)
    shutil.copytree(ROOT / "tools", tmp_path / "tools", ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def ensure_room(house: Path, name: str) -> Path:
    room = house / "src" / "podium" / name
    room.mkdir(exist_ok=True)
    (room / "__init__.py").touch()
    return room


def plant(house: Path, importer: str, imported: str) -> None:
    if imported.startswith("podium."):
        ensure_room(house, imported.removeprefix("podium."))
    if importer == "app":  # a module, not a package
        with (house / "src" / "podium" / "app.py").open("a") as app:
            app.write(f"\nimport {imported}\n")
    else:
        (ensure_room(house, importer) / "planted.py").write_text(f"import {imported}\n")


def broken_contracts(house: Path) -> set[str]:
    """The ids of the contracts that lint-imports reports as broken."""
    program = Path(sys.executable).with_name("lint-imports")
    environment = {**os.environ, "PYTHONPATH": f"{house / 'src'}{os.pathsep}{house}", "COLUMNS": "200"}
    done = subprocess.run(
        [program, "--no-cache"], cwd=house, env=environment, capture_output=True, text=True, timeout=60
    )
    assert "Contracts: " in done.stdout, done.stdout + done.stderr
    verdicts = dict(re.findall(r"^(.*) (KEPT|BROKEN)", done.stdout, re.MULTILINE))
    assert set(verdicts) == set(CONTRACTS.values()), done.stdout
    broken = {name for name, verdict in verdicts.items() if verdict == "BROKEN"}
    assert done.returncode == (1 if broken else 0)
    return {key for key, name in CONTRACTS.items() if name in broken}


def test_the_house_as_it_stands_keeps_every_contract(house: Path) -> None:
    assert broken_contracts(house) == set()


@pytest.mark.parametrize(("importer", "imported", "contracts"), SEEDED)
def test_a_seeded_violation_breaks_its_contracts_and_no_other(
    house: Path, importer: str, imported: str, contracts: str
) -> None:
    plant(house, importer, imported)
    assert broken_contracts(house) == set(contracts.split())


def test_every_contract_has_a_violation_that_only_it_sees() -> None:
    assert {contracts for _importer, _imported, contracts in SEEDED if " " not in contracts} == set(CONTRACTS)
