"""Reads the layers of the configuration; `kernel.config` decides."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from podium.kernel.config import Settings, from_environment, resolve
from podium.kernel.errors import InvalidRequest, Unavailable


def home_path(environ: Mapping[str, str] = os.environ) -> Path:
    """`$PODIUM_HOME`, else `~/.podium`; absolute."""
    given = environ.get("PODIUM_HOME")
    return (Path(given) if given else Path.home() / ".podium").absolute()


def load_settings(
    home: Path, flags: Mapping[str, Any] | None = None, environ: Mapping[str, str] = os.environ
) -> tuple[Settings, dict[str, str]]:
    """The settings in force and where each came from. Raises InvalidRequest for a wrong file or value."""
    layers: list[tuple[str, Mapping[str, Any]]] = [
        (str(home / "config.toml"), _file(home / "config.toml")),
        ("environment", from_environment(environ)),
        ("flag", {key: value for key, value in (flags or {}).items() if value is not None}),
    ]
    return resolve(layers)


def _file(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"{path}: {error}", hint="it is a TOML file of `key = value` lines") from error
    except OSError as error:
        raise Unavailable(
            f"{path} cannot be read: {error.strerror}",
            hint="set PODIUM_HOME to a directory that you may use",
        ) from error
