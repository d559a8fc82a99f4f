"""Where a repository comes from. A pure parse: local absolute path, https, or ssh; nothing else exists.

Refused, whatever git would do with it: transport helpers (`ext::`, any `::`), anything that a program
could read as an option, credentials (they would end up in configuration, logs and error messages), `..`
segments, control characters, plain http and git://.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal
from urllib.parse import unquote

from msgspec import Struct

from podium.kernel.errors import InvalidRequest

MAX_URL_CHARS = 2_000

_HOST = r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])"
_IPV6 = re.compile(r"(?<=[/@])\[[0-9A-Fa-f:.]+\](?=[/:])")
_HTTPS = re.compile(rf"https://{_HOST}(?::\d{{1,5}})?(?P<path>/[^?#\s]+)\Z")
_SSH = re.compile(rf"ssh://(?:[A-Za-z0-9_][A-Za-z0-9_.-]*@)?{_HOST}(?::\d{{1,5}})?(?P<path>/[^?#\s]+)\Z")
_SCP = re.compile(
    r"(?!(?:file|https?|ssh|git|ext|fd):)(?:[A-Za-z0-9_][A-Za-z0-9_.-]*@)?[A-Za-z0-9][A-Za-z0-9.-]*"
    r":(?P<path>[^:\s][^\s]*)\Z"
)
_SHORT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*/[A-Za-z0-9_.][A-Za-z0-9_.-]*\Z")


class RepositoryUrl(Struct, frozen=True, kw_only=True):
    """A source that passed the parse. `text` is what git is given."""

    text: str
    kind: Literal["local", "https", "ssh"]

    @property
    def path(self) -> Path:
        """The directory of a local source."""
        return Path(self.text)

    @property
    def protocols(self) -> str:
        """The one protocol git may use for it, as GIT_ALLOW_PROTOCOL spells it."""
        return "file" if self.kind == "local" else self.kind


def parse_url(raw: str) -> RepositoryUrl:
    """The only way to a RepositoryUrl."""
    if problem := _text_problem(raw):
        raise _refused(raw, problem)
    if raw.startswith("file://"):
        return _local(raw, unquote(raw.removeprefix("file://")))
    if raw.startswith("/"):
        return _local(raw, raw)
    if "://" not in raw and (match := _SCP.match(raw)):
        return _remote(raw, "ssh", match["path"])
    if match := _SSH.match(raw):
        return _remote(raw, "ssh", match["path"])
    if raw.startswith("https://"):
        if "@" in raw.removeprefix("https://").split("/", 1)[0]:
            raise _refused("https://…", "carries credentials; give them to ssh, not to the address")
        if match := _HTTPS.match(raw):
            return _remote(raw, "https", match["path"])
    raise _refused(raw, "is not an address Podium fetches from")


def expand(short: str, base_url: str) -> RepositoryUrl:
    """`owner/name` under a configured base such as `https://host` or `git@host:`."""
    if not _SHORT.match(short) or ".." in short:
        raise InvalidRequest(
            f"{short[:60]!a} is not of the form owner/name.", hint="Give owner/name, or a full address."
        )
    joiner = "" if base_url.endswith((":", "/")) else "/"
    return parse_url(f"{base_url}{joiner}{short}")


def _text_problem(raw: str) -> str | None:
    if not raw or len(raw) > MAX_URL_CHARS:
        return f"is empty or longer than {MAX_URL_CHARS} characters"
    if any(ord(char) < 0x20 or ord(char) == 0x7F for char in raw):
        return "contains a control character"
    if raw.startswith("-"):
        return "starts with a dash and could be read as an option"
    if "::" in _IPV6.sub("", raw):
        return "names a transport helper, which runs a program"
    return None


def _local(raw: str, path: str) -> RepositoryUrl:
    if not path.startswith("/") or path.startswith("//") or "\0" in path or "\n" in path:
        raise _refused(raw, "is not an absolute path on this machine")
    if _climbs(path):
        raise _refused(raw, "contains a .. segment")
    return RepositoryUrl(text=path.rstrip("/") or "/", kind="local")


def _remote(raw: str, kind: Literal["https", "ssh"], path: str) -> RepositoryUrl:
    if _climbs(unquote(path)):
        raise _refused(raw, "contains a .. segment")
    if path.lstrip("/").startswith("-"):
        raise _refused(raw, "has a path that could be read as an option")
    return RepositoryUrl(text=raw, kind=kind)


def _climbs(path: str) -> bool:
    return ".." in re.split(r"[/\\]", path)


def _refused(raw: str, problem: str) -> InvalidRequest:
    shown = ascii(raw if len(raw) <= 80 else raw[:80] + "…")
    return InvalidRequest(
        f"The repository {shown} {problem}.",
        hint="Use an absolute path, https://host/owner/name, ssh://git@host/path or git@host:path.",
    )
