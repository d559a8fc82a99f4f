"""From what people write to the names git may see. Everything else is refused here, at parse."""

from __future__ import annotations

import re

from podium.git.names import name_problem
from podium.git.urls import expand, parse_url
from podium.kernel.errors import InvalidRequest

_SHORT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*/[A-Za-z0-9_.-]+\Z")


def canonical_repository(raw: str, *, organisation: str | None) -> str:
    """The address of a repository: absolute path, https, ssh, or `owner/name` under the organisation.

    Raises InvalidRequest for anything else: options, transport helpers, credentials, relative paths.
    """
    if organisation is not None and _SHORT.match(raw):
        return expand(raw, organisation).text
    if _SHORT.match(raw):
        raise InvalidRequest(
            f"{raw!r} is a short name, and no organisation is configured",
            hint="set `organisation` in config.toml, or give a path or full address",
        )
    return parse_url(raw).text


def parse_base(raw: str) -> str:
    """HEAD, a branch, a tag or a commit."""
    if raw != "HEAD" and (problem := name_problem(raw)):
        raise InvalidRequest(
            f"{raw[:60]!r} is no branch, tag or commit: it {problem}",
            hint="give a branch, a tag or a commit of the repository as it is called there",
        )
    return raw
