"""Configuration: strict, layered, every value knows its origin. Pure; reading files is the caller's.

Layers, the later wins: defaults, `$PODIUM_HOME/config.toml`, `PODIUM_*`, flags.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from podium.kernel.database_url import check_database_url, shown_database_url
from podium.kernel.errors import InvalidRequest

HarnessName = Annotated[str, Meta(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
DottedPath = Annotated[str, Meta(max_length=500, pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_][\w.]*$")]
ONLY_IN_FILE = frozenset({"harnesses"})
Positive = Annotated[float, Meta(gt=0)]


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Every setting of a daemon or worker, with its default."""

    host: str = "127.0.0.1"
    """Address to listen on; another than loopback needs a certificate or a proxy that encrypts."""
    port: Annotated[int, Meta(ge=0, le=65_535)] | None = None
    """None: 4180, or the next free one after it."""
    tls_cert: str | None = None
    """File with the certificate (and its chain), PEM; with it the server speaks HTTPS."""
    tls_key: str | None = None
    """File with its key, PEM, which only you may read."""
    behind_proxy: str | None = None
    """Addresses of proxies that encrypt and say for whom they ask (X-Forwarded-For), with commas between."""
    public_url: str | None = None
    """How the server is reached from elsewhere: https://podium.example.org."""
    database_url: str | None = None
    """`postgresql://USER@HOST:PORT/NAME`; None: the SQLite file in the home. Shown without its password."""
    beside: str | None = None
    """Path of `bus.sock` in the home of the server whose database this is: be a gateway that follows it."""
    worker: bool = True
    """Whether `podium up` also works itself."""
    capacity: Annotated[int, Meta(ge=1, le=10_000)] | None = None
    """Runs at once on this worker; None: at least 2, otherwise by cores and free memory."""
    node: str | None = None
    """Name of this machine; None: its host name."""
    organisation: str | None = None
    """Base URL that makes `owner/name` a repository."""
    lease_ttl_s: Positive = 15.0
    """A worker not heard for so long loses its runs."""
    renew_every_s: Positive = 5.0
    """How often a worker says that it still holds its runs."""
    affinity_wait_s: Positive = 60.0
    """How long a run that is tried again waits for the machine that has its workspace."""
    finish_turn_s: Positive = 60.0
    """How long an agent whose holder died may take to end its turn."""
    keep_events_days: Positive = 30.0
    """Older events are forgotten."""
    keep_artifacts_days: Positive = 30.0
    """Older artifacts of ended tasks are forgotten."""
    keep_workspaces: bool = False
    """Whether workspaces stay after their task has ended."""
    harnesses: dict[HarnessName, DottedPath] = {}
    """Further harnesses, as a table `[harnesses]` of lines `name = "package.module:Class"`."""
    clock_offset_s: float = 0.0
    """Shifts the wall clock; for tests."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """The least that is written to the log."""
    log_max_bytes: Annotated[int, Meta(ge=10_000)] = 20_000_000
    """Size at which the log file is put aside; one older file is kept."""


def resolve(layers: Iterable[tuple[str, Mapping[str, Any]]]) -> tuple[Settings, dict[str, str]]:
    """The settings and the origin of each value. Raises InvalidRequest, naming the origin and, for an
    unknown key, the key that was probably meant."""
    values: dict[str, Any] = {}
    origins = dict.fromkeys(Settings.__struct_fields__, "default")
    for origin, layer in layers:
        for key, value in layer.items():
            if key not in origins:
                raise InvalidRequest(f"{origin}: there is no setting {key!r}", hint=_suggest(key))
            try:
                msgspec.convert({key: value}, Settings, strict=False)
            except msgspec.ValidationError as error:
                raise InvalidRequest(f"{origin}: {key}: {error}") from error
            if key == "database_url":
                _check_database(origin, value)
            values[key], origins[key] = value, origin
    return msgspec.convert(values, Settings, strict=False), origins


def from_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The `PODIUM_*` layer: settings only; other variables of that prefix have their own readers."""
    known = {f"PODIUM_{key.upper()}": key for key in Settings.__struct_fields__ if key not in ONLY_IN_FILE}
    return {known[name]: value for name, value in environ.items() if name in known}


def shown(name: str, value: Any) -> Any:
    """A setting as people and programs may be shown it: no password."""
    return shown_database_url(value) if name == "database_url" and value is not None else value


def _check_database(origin: str, url: str) -> None:
    try:
        check_database_url(url)
    except InvalidRequest as error:
        raise InvalidRequest(f"{origin}: database_url: {error.message}", hint=error.hint) from None


def _suggest(key: str) -> str:
    close = difflib.get_close_matches(key, Settings.__struct_fields__, n=1)
    return f"did you mean {close[0]!r}?" if close else "see: podium doctor --config"
