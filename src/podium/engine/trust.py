"""Which configuration files of a repository a project honours, each with exactly one content."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta, Struct
from msgspec.structs import replace

from podium.kernel import events as e
from podium.kernel.errors import InvalidRequest, NotFound
from podium.kernel.nouns import Project
from podium.store.unit import Unit

TRUSTABLE: Final = (
    ".claude/settings.json",
    ".claude/settings.local.json",
    ".codex/config.toml",
    ".mcp.json",
)
"""What agents' programs would run or obey without asking (hooks, settings, MCP servers), and nothing else."""


class TrustFile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of `PUT /projects/{id}/trusted-files`: the file is honoured while its content has this hash."""

    path: Annotated[str, Meta(max_length=200)]
    sha256: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]


def trust_file(unit: Unit, project: Project, path: str, sha256: str | None, *, by: str) -> Project:
    """Honour the file while it has this content; None: no longer. Again is no change.

    Raises InvalidRequest for a file that is never honoured, NotFound when none of that name was trusted.
    """
    if path not in TRUSTABLE:
        raise InvalidRequest(
            f"{path[:200]!r} is no file that can be trusted", hint=f"one of: {', '.join(TRUSTABLE)}"
        )
    trusted = dict(project.trusted_files)
    if sha256 is None:
        if trusted.pop(path, None) is None:
            raise NotFound(
                f"{project.name} does not trust {path}", hint=f"see: podium projects show {project.name}"
            )
    elif trusted.get(path) == sha256:
        return project
    else:
        trusted[path] = sha256
    changed = replace(project, trusted_files=dict(sorted(trusted.items())))
    unit.record(e.ProjectChanged(project=changed), by=by)
    return changed
