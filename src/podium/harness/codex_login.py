"""Where Codex keeps its conversations and finds its login: a directory of Podium's own, never the user's.

Nothing of the user's configuration counts but where the model is: `model_provider`, `openai_base_url` and the
plain fields of that provider. Its instructions, hooks, servers, profiles and permissions do not.
"""

from __future__ import annotations

import tempfile
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct

from podium.harness.base import LaunchRequest
from podium.kernel.errors import AuthRequired

AUTH = "auth.json"
KEY_VARIABLE = "PODIUM_CODEX_KEY"
OPENAI_URL = "https://api.openai.com/v1"
PROVIDER = "podium"
PROVIDER_FIELDS = frozenset(
    {"name", "base_url", "wire_api", "env_key", "query_params", "env_http_headers", "requires_openai_auth"}
    | {"request_max_retries", "stream_max_retries", "stream_idle_timeout_ms"}
)
"""Without those that hold a secret themselves: what is passed on stands in arguments."""


class Login(Struct, frozen=True, kw_only=True):
    """The directory, the settings that choose the model's server, and what the program needs beside them."""

    folder: Path
    settings: dict[str, Any] = {}
    env: dict[str, str] = {}
    links: dict[str, Path] = {}
    secrets: tuple[str, ...] = ()
    """Variables that its commands must not see."""


def login_of(request: LaunchRequest) -> Login:
    """Raises AuthRequired with the line to type."""
    kind = request.agent.login
    folder = request.login_dir or request.keep_dir / "codex" / kind.replace(":", "-")
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    env = {"CODEX_HOME": str(folder), **_temporary(folder, request.environ)}
    if request.secret is not None:
        return _with_key(request, folder, env)
    if kind == "isolated":
        if not (folder / AUTH).exists():
            raise _nobody(f"CODEX_HOME={folder} codex login")
        return Login(folder=folder, env=env)
    return _as_user(request, folder, env)


def _as_user(request: LaunchRequest, folder: Path, env: dict[str, str]) -> Login:
    own = user_home(request.environ)
    settings, variables = _endpoint(own, request.environ)
    if variables is None:
        # When it refreshes its tokens, it follows the link and replaces the user's file: both stay logged in.
        if not (own / AUTH).exists():
            raise _nobody("codex login")
        links = {str(folder / AUTH): own / AUTH}
        return Login(folder=folder, settings=settings, env=env, links=links)
    return Login(folder=folder, settings=settings, env={**env, **variables}, secrets=tuple(variables))


def _with_key(request: LaunchRequest, folder: Path, env: dict[str, str]) -> Login:
    """The key in a variable, for the user's own endpoint or OpenAI's."""
    settings, _ = _endpoint(user_home(request.environ), request.environ)
    name = str(settings.get("model_provider", PROVIDER))
    field = f"model_providers.{name}.env_key"
    variable = str(settings.get(field, KEY_VARIABLE))
    if name == PROVIDER:
        base_url = settings.pop("openai_base_url", OPENAI_URL)
        settings |= {
            "model_provider": PROVIDER,
            f"model_providers.{PROVIDER}.name": "OpenAI",
            f"model_providers.{PROVIDER}.base_url": base_url,
            f"model_providers.{PROVIDER}.wire_api": "responses",
        }
    settings[field] = variable
    env = {**env, variable: request.secret or ""}
    return Login(folder=folder, settings=settings, env=env, secrets=(variable,))


def _endpoint(own: Path, environ: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, str] | None]:
    """What the user's configuration says about the model's server; and the variables that it is reached with,
    None when it wants the login of OpenAI."""
    try:
        found = tomllib.loads((own / "config.toml").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}, None
    settings = {key: found[key] for key in ("openai_base_url",) if isinstance(found.get(key), str)}
    name = found.get("model_provider")
    providers = found.get("model_providers")
    provider = providers.get(name) if isinstance(providers, dict) and isinstance(name, str) else None
    if not isinstance(provider, dict):
        return settings, None
    settings["model_provider"] = name
    for field in sorted(PROVIDER_FIELDS & provider.keys()):
        settings[f"model_providers.{name}.{field}"] = provider[field]
    if provider.get("requires_openai_auth") is True:
        return settings, None
    headers = provider.get("env_http_headers")
    named = [provider.get("env_key"), *(headers.values() if isinstance(headers, dict) else ())]
    return settings, {key: environ[key] for key in named if isinstance(key, str) and key in environ}


def user_home(environ: Mapping[str, str]) -> Path:
    """Where the user's own Codex keeps its things."""
    given = environ.get("CODEX_HOME")
    return Path(given) if given else Path(environ.get("HOME", "/nonexistent")) / ".codex"


def _temporary(folder: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """Below the directory for temporary files every command that it sandboxes fails: then another one."""
    if not folder.is_relative_to(Path(environ.get("TMPDIR", tempfile.gettempdir()))):
        return {}
    other = folder / "temporary"
    other.mkdir(exist_ok=True, mode=0o700)
    return {"TMPDIR": str(other)}


def _nobody(line: str) -> AuthRequired:
    return AuthRequired("codex is not logged in on this machine", hint=f"type: {line}")
