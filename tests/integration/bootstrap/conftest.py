"""A clone in small: the real bootstrap around a package that needs no network to be installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PYPROJECT = """\
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
[project]
name = "podium"
version = "0.1.0"
"""
APP = """\
import os, sys
print("app", os.getcwd(), *sys.argv[1:])
sys.exit(7)
"""
# Stands in for hatchling, which would have to be downloaded: an editable wheel is a .pth file in a zip.
BACKEND = """\
import os, zipfile
HERE = os.path.dirname(os.path.abspath(__file__))
NAME = "podium-0.1.0-py3-none-any.whl"

def build_editable(folder, config_settings=None, metadata_directory=None):
    with open(os.path.join(HERE, "builds"), "a") as log:
        log.write("built\\n")
    gate = os.path.join(HERE, "gate")
    if os.path.exists(gate):
        with open(gate, "w") as at_the_gate:
            at_the_gate.write("here")
        with open(gate + ".open") as opened:
            opened.read()
    files = {
        "podium.pth": os.path.join(HERE, "src"),
        "podium-0.1.0.dist-info/METADATA": "Metadata-Version: 2.1\\nName: podium\\nVersion: 0.1.0\\n",
        "podium-0.1.0.dist-info/WHEEL": "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
    }
    record = "".join(name + ",,\\n" for name in files) + "podium-0.1.0.dist-info/RECORD,,\\n"
    with zipfile.ZipFile(os.path.join(folder, NAME), "w") as wheel:
        for name, text in {**files, "podium-0.1.0.dist-info/RECORD": record}.items():
            wheel.writestr(name, text)
    return NAME
"""


@dataclass(frozen=True)
class Clone:
    """A directory that looks like a clone of Podium, and how to start it."""

    root: Path
    environment: Mapping[str, str] = field(repr=False)

    def argv(self, *arguments: str) -> list[str]:
        return [sys.executable, str(self.root / "podium"), *arguments]

    def start(
        self, *arguments: str, cwd: Path | None = None, **extra: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.argv(*arguments),
            cwd=cwd or self.root,
            env={**self.environment, **extra},
            capture_output=True,
            text=True,
            timeout=90,
        )

    def launch(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.argv(*arguments),
            cwd=self.root,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def builds(self) -> int:
        """How many times Podium itself was installed."""
        log = self.root / "builds"
        return len(log.read_text().splitlines()) if log.exists() else 0

    def said(self, arguments: str = "") -> str:
        """What the product prints when it was handed over to."""
        return f"app {self.root}{' ' if arguments else ''}{arguments}\n"


def make_clone(root: Path, environment: Mapping[str, str]) -> Clone:
    root.mkdir(parents=True)
    shutil.copy(ROOT / "podium", root)
    shutil.copytree(ROOT / "tools", root / "tools", ignore=shutil.ignore_patterns("__pycache__"))
    (root / "requirements").mkdir()
    for name in ("runtime", "dev"):
        (root / "requirements" / f"{name}.txt").write_text("")
    (root / "pyproject.toml").write_text(PYPROJECT)
    (root / "backend.py").write_text(BACKEND)
    (root / "src" / "podium").mkdir(parents=True)
    (root / "src" / "podium" / "__init__.py").write_text("")
    (root / "src" / "podium" / "app.py").write_text(APP)
    return Clone(root, environment)


def programs(folder: Path, *names: str) -> str:
    """A PATH on which only these programs are found."""
    folder.mkdir(parents=True)
    for name in names:
        found = shutil.which(name)
        if found:
            (folder / name).symlink_to(found)
    return str(folder)


def clone_with(installer: str, tmp_path: Path) -> Clone:
    path = programs(tmp_path / "bin", installer, "git", "sh")
    environment = {**os.environ, "PATH": path, "HOME": str(tmp_path), "UV_OFFLINE": "1", "PIP_NO_INDEX": "1"}
    return make_clone(tmp_path / "clone", environment)


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    """A clone on a machine like this one; with uv these tests take a tenth of the time."""
    return clone_with("uv", tmp_path)


@pytest.fixture(params=["uv", "pip"])
def any_clone(request: pytest.FixtureRequest, tmp_path: Path) -> Clone:
    """A clone on a machine with uv, and one on a machine without."""
    if request.param == "uv" and shutil.which("uv") is None:
        pytest.skip("uv is not on PATH; the pip half of this test runs")
    return clone_with(request.param, tmp_path)
