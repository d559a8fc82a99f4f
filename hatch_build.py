"""The package's build hook: the web page is built with it, by Node of the machine or of PyPI.

PODIUM_SKIP_UI=1 leaves the page as it is. A wheel without a page is refused; an editable install without
one only warns, and the server then shows what to type.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SKIP = "PODIUM_SKIP_UI"


def _builder(root: Path) -> ModuleType | None:
    """ui/build.py; None where there are no sources of the page."""
    path = root / "ui" / "build.py"
    if not path.is_file():
        return None
    spec = importlib.util.spec_from_file_location("podium_ui_build", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class PageHook(BuildHookInterface[Any]):
    PLUGIN_NAME = "custom"

    @property
    def _web(self) -> Path:
        return Path(self.root) / "src" / "podium" / "gateway" / "web"

    @property
    def _wanted(self) -> bool:
        return self.target_name == "wheel" and not os.environ.get(SKIP)

    def dependencies(self) -> list[str]:
        """What the frontend (pip, uv) shall install for this build: Node, only when it will be used."""
        builder = _builder(Path(self.root))
        if not self._wanted or builder is None or builder.is_current(Path(self.root) / "ui", self._web):
            return []
        return [] if builder.npm_of_machine() else [builder.NODE_WHEEL]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build what is not current. Raises RuntimeError, in one line, for a wheel without its page."""
        if not self._wanted:
            return
        failure = self._build()
        if failure is None:
            return
        if version != "editable":
            sys.tracebacklimit = 0  # the line says it all; forty more hide it
            raise RuntimeError(f"podium: the web page was not built: {failure}")
        self.app.display_warning(f"podium: the web page was not built: {failure}")

    def _build(self) -> str | None:
        """Why there is no page; None when there is one."""
        builder = _builder(Path(self.root))
        ui, web = Path(self.root) / "ui", self._web
        if builder is None:
            return None if (web / "index.html").is_file() else "its sources (ui/) are missing"
        if builder.is_current(ui, web):
            return None
        npm = builder.npm_of_machine() or builder.npm_of_wheel()
        if npm is None:
            return f"no {builder.NODE_NEEDED} found; install it, or let pip build in isolation"
        try:
            builder.build(ui, web, npm)
        except builder.CannotBuild as error:
            return str(error)
        return None
