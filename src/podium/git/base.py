"""What every part of git/ promises, the values it hands out and the errors it raises.

**Who is trusted.** Three kinds of git directory exist and they are never confused:

- *Ours*: the node's bare mirror, and per Run a private git directory outside the workspace. Written by
  us alone; every verb we run reads the configuration of one of these and of nothing else.
- *The agent's*: `.git` inside a workspace. Hostile. The only program that ever opens it is the
  `upload-pack` of a fetch, which executes nothing that a repository's own configuration names.
- *The user's*: their checkout. `apply` alone writes it, `snapshot` reads its files.

**Saving comes first.** A capture puts the work under `refs/podium/runs/<run>` of the mirror before it
reports anything; what the agent did to its repository is reported as `Drift` words beside the saved
work, never instead of it. `remove` deletes only what it has just proved to be under a ref.

**Refs we write in a mirror:** `refs/remotes/origin/*` (the source's branches), `refs/podium/source/*`
(commits fetched by hash, the source's HEAD), `refs/podium/snapshots/<task>` (uncommitted work that a Task
starts from), `refs/podium/runs/<run>` (a Run's result),
`refs/podium/side/<run>/<hash>` (what else it committed), `refs/podium/rescue/…` (results that a later
capture of the same Run does not contain).

**Cancellation** kills the git process tree and leaves nothing half done that the next call would not
repair: git directories are made aside and renamed, objects enter a mirror through git's own quarantine.

**Errors** are GitFailed (git said no; `details` has code, argv, stderr excerpt), RepositoryUnusable
(`details["reason"]` is a `Reason`), TooLarge, and the Conflicts below.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, NewType

from msgspec import Struct

from podium.kernel.errors import Conflict, RepositoryUnusable

Commit = NewType("Commit", str)
"""A full commit hash, 40 or 64 lower-case hex digits. Made by `names.parse_commit`."""
BranchName = NewType("BranchName", str)
"""A short branch name (`main`, never `refs/heads/main`). Made by `names.parse_branch`."""
RefName = NewType("RefName", str)
"""A full ref name (`refs/…`). Made by `names.parse_ref`."""

Reason = Literal[
    "not_found", "not_a_repository", "empty", "unreachable", "shallow", "unknown_base", "snapshot"
]
"""Why a repository cannot be used; `details["reason"]` of RepositoryUnusable. `snapshot`: the
uncommitted work that a Task starts from cannot be had or does not fit this source."""

Drift = Literal[
    "branch_switched",
    "head_detached",
    "branch_deleted",
    "history_rewritten",
    "history_refused",
    "operation_in_progress",
    "git_removed",
    "git_replaced",
    "git_unreadable",
    "nested_repository",
    "populated_submodule",
    "files_unsaved",
]
"""What an agent did to its repository beyond committing on its branch.

`history_refused`: git could read the refs but the objects fail fsck or are incomplete; the files are
saved on top of the base. `git_removed`, `git_replaced`, `git_unreadable`: likewise, there was no history
to read. `populated_submodule`: work below a submodule is not saved. `files_unsaved`: see
`Captured.unsaved`. The others lose nothing.
"""

MAX_LEFTOVER_FILE_BYTES = 256 * 1024 * 1024
"""A file larger than this that the agent did not commit itself is reported, not saved."""
MAX_CHANGED_FILES = 3_000
"""Entries of one list of changed files; `ChangedFiles.total` counts the rest."""
MAX_NAMED_PATHS = 100
"""Paths named in one report or error."""


class Identity(Struct, frozen=True, kw_only=True):
    """Who a commit is by."""

    name: str
    email: str


class ProbeResult(Struct, frozen=True, kw_only=True):
    """What a repository answers without being fetched."""

    default_branch: str | None
    """None when its HEAD is detached or the repository is empty."""
    head: Commit | None
    heads: int
    """How many branches it has."""
    empty: bool


class Mirror(Struct, frozen=True, kw_only=True):
    """A project's bare repository on this node."""

    path: Path
    url: str


class Workspace(Struct, frozen=True, kw_only=True):
    """Where a Run works. Written to `git_dir` once the workspace is complete; that file is the marker."""

    run: str
    path: Path
    """The working tree the agent gets. Everything below it is the agent's."""
    git_dir: Path
    """Our git directory for this Run, outside `path`."""
    mirror: Path
    base: Commit
    branch: BranchName
    start: Commit
    """Where the branch began: the base, or an earlier Run's result that this one goes on from."""


class ChangedFile(Struct, frozen=True, kw_only=True):
    """One file of a diff."""

    path: str
    """Bytes that are not UTF-8 appear as `\\xNN`."""
    status: Literal["added", "modified", "deleted", "renamed", "copied", "retyped"]
    additions: int
    deletions: int
    binary: bool
    old_path: str | None = None


class ChangedFiles(Struct, frozen=True, kw_only=True):
    """At most `MAX_CHANGED_FILES` files, and how many there are."""

    files: tuple[ChangedFile, ...]
    total: int


class Diff(Struct, frozen=True, kw_only=True):
    """A unified diff. When `truncated` it ends after a whole line."""

    patch: bytes
    truncated: bool


class LogEntry(Struct, frozen=True, kw_only=True):
    """One commit of a log."""

    commit: Commit
    parents: tuple[str, ...]
    author: str
    email: str
    at: int
    """Author date, seconds since the epoch."""
    subject: str


class SideBranch(Struct, frozen=True, kw_only=True):
    """Work an agent committed outside the captured history, kept under its own ref in the mirror."""

    ref: str
    tip: Commit


class Captured(Struct, frozen=True, kw_only=True):
    """A Run's work, already under `ref` in the node's mirror."""

    tip: Commit
    ref: RefName
    commits: int
    """Commits that the base does not have, the leftover one included."""
    leftover: bool
    """True when the last commit is ours, holding what the agent did not commit."""
    drift: tuple[Drift, ...]
    side: tuple[SideBranch, ...]
    unsaved: tuple[str, ...]
    """Paths that are not in `tip`, at most MAX_NAMED_PATHS; a Drift word says that there are any."""


class WorkAtRisk(Conflict):
    """The workspace holds work that no ref has; capture it before removing it."""

    code = "work_at_risk"


class WorkspaceGone(Conflict):
    """The workspace is missing or was replaced; start the task again."""

    code = "workspace_gone"


class MissingPrerequisite(Conflict):
    """The bundle builds on commits that are not here; send a full one."""

    code = "missing_prerequisite"

    def __init__(self, commits: tuple[Commit, ...]) -> None:
        super().__init__(commits=list(commits))
        self.commits = commits


class BundleRefused(Conflict):
    """The bundle is damaged or holds objects that git's checks refuse; nothing of it was kept."""

    code = "bundle_refused"


class NothingToBundle(Conflict):
    """There is nothing to bundle: the tip adds no commit to the base."""

    code = "nothing_to_bundle"


class CheckoutBusy(Conflict):
    """The checkout has uncommitted changes or an unfinished operation; commit or stash first."""

    code = "checkout_busy"


class ApplyConflict(Conflict):
    """The change does not apply to this branch; the checkout is as it was."""

    code = "apply_conflict"


class OtherRepository(Conflict):
    """This checkout does not have the commit that the change builds on."""

    code = "other_repository"


def unusable(reason: Reason, message: str, hint: str, **details: object) -> RepositoryUnusable:
    """A RepositoryUnusable with its reason word."""
    return RepositoryUnusable(message, hint=hint, reason=reason, **details)
