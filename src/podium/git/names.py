"""Names from outside become types here or are refused; git never sees one that did not pass.

All pure. Every refusal is an InvalidRequest that says what to write instead.

Characters of a name: printable ASCII without what git or a shell gives a meaning, plus the letters of
Latin-1 and Latin Extended-A in composed form (`größe`, `łódź`). Everything else is refused: other scripts
hold letters that look like ASCII ones, and invisible characters make two names look the same.
"""

from __future__ import annotations

import re
import unicodedata

from podium.git.base import BranchName, Commit, RefName
from podium.kernel.errors import InvalidRequest

MAX_NAME_BYTES = 200
MAX_SLUG_CHARS = 40

_FORBIDDEN_ASCII = frozenset(" ~^:?*[\\\"'`$;|<>&(){}!")
# Multiplication and division signs are no letters; dotless i, kra, 'n and long s fold to ASCII look-alikes.
_LATIN_EXCEPTIONS = frozenset("\u00d7\u00f7\u0131\u0138\u0149\u017f")
_COMMIT = re.compile(r"(?:[0-9a-f]{40}|[0-9a-f]{64})\Z")


def parse_commit(raw: str) -> Commit:
    """A full hash; abbreviations are for `mirror.resolve`."""
    if not _COMMIT.match(raw):
        raise InvalidRequest(
            f"{_shown(raw)} is not a full commit hash.", hint="Give all 40 (or 64) hexadecimal digits."
        )
    return Commit(raw)


def parse_ref(raw: str) -> RefName:
    """A full ref: `refs/`, then a name by the same rules as a branch."""
    if not raw.startswith("refs/"):
        raise InvalidRequest(f"{_shown(raw)} is not a full ref.", hint="A ref starts with refs/.")
    if problem := name_problem(raw):
        raise InvalidRequest(f"The ref {_shown(raw)} {problem}.", hint="Choose a plainer name.")
    return RefName(raw)


def parse_branch(raw: str) -> BranchName:
    """A short branch name."""
    if raw.startswith("refs/"):
        raise InvalidRequest(
            f"{_shown(raw)} is a ref, not a branch.", hint="Leave out refs/heads/ and give the branch alone."
        )
    if problem := name_problem(raw):
        raise InvalidRequest(
            f"The branch name {_shown(raw)} {problem}.",
            hint="Use letters, digits and . _ - / + @, for example fix/login.",
        )
    return BranchName(raw)


def name_problem(raw: str) -> str | None:
    """What is wrong with a ref name, as the end of a sentence; None when nothing is.

    Stricter than `git check-ref-format`: what passes here passes there.
    """
    if not raw:
        return "is empty"
    if len(raw.encode("utf-8", "surrogatepass")) > MAX_NAME_BYTES:
        return f"is longer than {MAX_NAME_BYTES} bytes"
    for char in raw:
        if not _allowed(char):
            return f"contains {_shown(char)}, which is not allowed"
    return _structure_problem(raw)


def _structure_problem(raw: str) -> str | None:
    if raw.startswith("-"):
        return "starts with a dash and could be read as an option"
    for token in ("..", "@{", "//"):
        if token in raw:
            return f"contains {token}"
    if raw in {"@", "HEAD"}:
        return "means something else to git"
    if raw.startswith("/") or raw.endswith(("/", ".")):
        return "starts or ends with a slash, or ends with a dot"
    for part in raw.split("/"):
        if part.startswith(".") or part.lower().endswith(".lock"):
            return "has a part that starts with a dot or ends with .lock"
    return None


def _allowed(char: str) -> bool:
    if "!" <= char <= "~":
        return char not in _FORBIDDEN_ASCII
    return "\u00c0" <= char <= "\u017f" and char not in _LATIN_EXCEPTIONS


def branch_for(task_id: str, title: str) -> BranchName:
    """The one branch of a Task: `podium/<task>-<slug of the title>`, without the slug if it is empty."""
    plain = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode().lower()
    slug = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:MAX_SLUG_CHARS].rstrip("-")
    return parse_branch(f"podium/{task_id}-{slug}" if slug else f"podium/{task_id}")


def run_ref(run_id: str) -> RefName:
    """Where a Run's result lives in a mirror."""
    return parse_ref(f"refs/podium/runs/{run_id}")


SNAPSHOT = RefName("refs/podium/snapshot")
"""What a snapshot's bundle calls its commit."""


def snapshot_ref(owner: str) -> RefName:
    """Where a snapshot lives: a Task's in mirrors, a Change's in the checkout that it is applied to."""
    return parse_ref(f"refs/podium/snapshots/{owner}")


def _shown(raw: str) -> str:
    """The input, safe to print: escaped and cut."""
    return ascii(raw if len(raw) <= 60 else raw[:60] + "…")
