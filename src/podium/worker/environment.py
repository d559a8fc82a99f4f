"""The environment of an agent: an allow-list. Nothing of the worker's own environment comes along unnamed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

ALLOWED: frozenset[str] = frozenset(
    {
        "HOME", "USER", "LOGNAME", "PATH", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR",
        "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS",
        "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy",
    }
)  # fmt: skip
PREFIXES = ("LC_",)
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def agent_environment(
    own: Mapping[str, str], named: Iterable[str], plan: Mapping[str, str], identity: Mapping[str, str]
) -> dict[str, str]:
    """What an agent sees: the allow-list and the names its Agent lists, from the worker's environment;
    then what its harness plans; then who it is (`PODIUM_RUN`, `PODIUM_TASK`), which nothing overrides."""
    wanted = ALLOWED | frozenset(named)
    kept = {name: value for name, value in own.items() if name in wanted or name.startswith(PREFIXES)}
    kept.setdefault("PATH", DEFAULT_PATH)
    kept.setdefault("LANG", "C.UTF-8")
    return {**kept, **plan, **identity}
