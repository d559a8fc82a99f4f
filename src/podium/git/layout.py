"""Git directories made by hand, and directories removed without following anything out of them.

`git init` costs a process and copies templates; the layout it makes has been stable for fifteen years and
is documented (gitrepository-layout). What is made here is complete or absent: built aside, then renamed.
"""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from podium.git.base import Commit, WorkspaceGone
from podium.kernel.errors import InvalidRequest

TRASH_NAME = ".trash"
MAX_OPEN_DEPTH = 64
"""Directories held open while removing; what lies deeper is first moved up."""
MAX_SMALL_FILE_BYTES = 64 * 1024

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

Sections = Mapping[str, Mapping[str, str | Sequence[str]]]


class NewGitDir(Struct, frozen=True, kw_only=True):
    """What a git directory starts with."""

    head: str
    """Content of HEAD: `ref: refs/heads/x` or a hash."""
    config: Sections
    """Section → key → value or values, beside the [core] that is always written."""
    bare: bool
    hash_length: int = 40
    """64 for a SHA-256 repository."""
    alternates: tuple[Path, ...] = ()
    refs: Mapping[str, Commit] = {}
    exclude: tuple[str, ...] = ()
    """Patterns of info/exclude."""


def write_git_dir(path: Path, new: NewGitDir) -> None:
    """Make a git directory at `path`, whole or not at all; one that exists already is left as it is."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        for name in ("objects/info", "objects/pack", "refs/heads", "refs/tags", "info"):
            (aside / name).mkdir(parents=True)
        (aside / "HEAD").write_text(new.head + "\n")
        (aside / "config").write_text(_config_text(new))
        if new.alternates:
            lines = "".join(f"{alternate}\n" for alternate in new.alternates)
            (aside / "objects/info/alternates").write_text(lines)
        if new.refs:
            lines = "".join(f"{commit} {ref}\n" for ref, commit in sorted(new.refs.items()))
            (aside / "packed-refs").write_text("# pack-refs with: peeled sorted \n" + lines)
        if new.exclude:
            (aside / "info/exclude").write_text("".join(f"{pattern}\n" for pattern in new.exclude))
        if not path.exists():
            aside.rename(path)
    except OSError:
        # Another process won the rename; its directory is as good as ours.
        if not (path / "HEAD").exists():
            raise
    finally:
        if aside.exists():
            remove_tree(aside)


def has_config(path: Path, config: Sections) -> bool:
    """Whether a bare git directory of ours still has exactly the configuration it was made with."""
    try:
        found = (path / "config").read_text()
    except (OSError, UnicodeDecodeError):
        return False
    made = (NewGitDir(head="", config=config, bare=True, hash_length=length) for length in (40, 64))
    return any(_config_text(one) == found for one in made)


def _config_text(new: NewGitDir) -> str:
    wide = new.hash_length == 64
    core: dict[str, str | Sequence[str]] = {
        "repositoryformatversion": "1" if wide else "0",
        "filemode": "true",
        "bare": "true" if new.bare else "false",
    }
    sections: dict[str, Mapping[str, str | Sequence[str]]] = {
        **new.config,
        "core": {**core, **new.config.get("core", {})},
    }
    if wide:
        sections["extensions"] = {"objectformat": "sha256"}
    lines: list[str] = []
    for section, values in sections.items():
        name, _, sub = section.partition(" ")
        lines.append(f"[{name} {_quoted(sub)}]" if sub else f"[{name}]")
        for key, value in values.items():
            lines += [f"\t{key} = {_quoted(one)}" for one in ([value] if isinstance(value, str) else value)]
    return "\n".join(lines) + "\n"


def _quoted(value: str) -> str:
    if "\n" in value or "\0" in value:
        raise InvalidRequest("A git setting cannot contain a line break.", hint="Remove it.")
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def real_directory(path: Path) -> Path:
    """The path, proved to be a directory and no symbolic link; else WorkspaceGone."""
    try:
        mode = os.lstat(path).st_mode
    except OSError as error:
        raise WorkspaceGone(path=str(path)) from error
    if not stat.S_ISDIR(mode):
        raise WorkspaceGone("The workspace was replaced by something else.", path=str(path))
    return path


def inside(path: Path, root: Path) -> Path:
    """The path, proved to lie below `root` with no symbolic link between; else InvalidRequest."""
    if ".." in path.parts or root not in path.parents or path.parent.resolve() != _under(root, path.parent):
        raise InvalidRequest(f"{path} is not below {root}.", hint="Only directories of ours are removed.")
    return path


def _under(root: Path, path: Path) -> Path:
    return root.resolve() / path.relative_to(root)


def read_small_file(path: Path) -> bytes | None:
    """A regular file of an untrusted directory, at most MAX_SMALL_FILE_BYTES; None when it is anything else.

    Never follows a link in the last place and never waits on a FIFO.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            return None
        return os.read(handle, MAX_SMALL_FILE_BYTES)
    finally:
        os.close(handle)


def discard(path: Path, root: Path) -> None:
    """Remove a directory below `root`, symlink-safe. It leaves its place at once, by rename, so a crash
    leaves nothing half removed; `sweep_trash` finishes such a removal."""
    inside(path, root)
    if not os.path.lexists(path):
        return
    trash = root / TRASH_NAME
    trash.mkdir(mode=0o700, exist_ok=True)
    aside = Path(tempfile.mkdtemp(dir=trash))
    path.rename(aside / "it")
    remove_tree(aside)


def sweep_trash(root: Path) -> None:
    """Finish removals that a crash interrupted."""
    trash = root / TRASH_NAME
    if trash.is_dir() and not trash.is_symlink():
        remove_tree(trash)


def remove_tree(path: Path) -> None:
    """Remove a directory of any depth, with entries that deny us access; links are removed, not followed."""
    handle = os.open(path.parent, _DIRECTORY & ~os.O_NOFOLLOW)
    try:
        top = _enter(handle, path.name)
        try:
            _empty(top, top, 0)
        finally:
            os.close(top)
        os.rmdir(path.name, dir_fd=handle)
    finally:
        os.close(handle)


def _empty(directory: int, top: int, depth: int) -> None:
    """Empty an open directory; `top` is where too deep subtrees are moved to be emptied in their turn."""
    while names := os.listdir(directory):
        for name in names:
            if not stat.S_ISDIR(os.lstat(name, dir_fd=directory).st_mode):
                os.unlink(name, dir_fd=directory)
            elif depth >= MAX_OPEN_DEPTH:
                child = _enter(directory, name)
                os.close(child)
                os.rename(name, f".deep-{os.urandom(8).hex()}", src_dir_fd=directory, dst_dir_fd=top)
            else:
                child = _enter(directory, name)
                try:
                    _empty(child, top, depth + 1)
                finally:
                    os.close(child)
                os.rmdir(name, dir_fd=directory)


def _enter(parent: int, name: str) -> int:
    """Open a subdirectory for emptying, giving ourselves the rights that its owner (us) took away."""
    with_rights = os.lstat(name, dir_fd=parent).st_mode
    if stat.S_ISDIR(with_rights) and stat.S_IMODE(with_rights) & 0o700 != 0o700:
        os.chmod(name, 0o700, dir_fd=parent)
    return os.open(name, _DIRECTORY, dir_fd=parent)
