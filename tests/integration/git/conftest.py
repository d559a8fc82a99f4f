"""Real git, real repositories, a real spawn. The fixtures of every test of git/ that touches a disk."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from podium.git import mirror, workspace
from podium.git.base import Commit, Identity, Mirror, Workspace
from podium.git.capture import Leftovers
from podium.git.command import Git
from podium.git.names import parse_branch, parse_commit
from podium.git.urls import parse_url
from podium.process.command import execute

AGENT = Identity(name="An agent", email="agent@podium.invalid")
LEFTOVERS = Leftovers(message="Work left uncommitted\n", author=AGENT, at=1_700_000_000)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class House:
    """One node's directories, one source repository, and plain git to play the user and the agent with."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.source = root / "source"
        self.work = root / "work"
        self.mirror_path = root / "mirrors/project.git"
        self.user_home = root / "user-home"
        self.user_home.mkdir()
        environ = {"PATH": os.environ["PATH"], "HOME": str(self.user_home)}
        self.podium = Git(execute, root / "git-home", environ)

    def plain(self, where: Path, *args: str, stdin: bytes = b"", check: bool = True) -> str:
        """git as people and agents run it: discovery, configuration, hooks and all."""
        env = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.user_home),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_AUTHOR_NAME": "Somebody",
            "GIT_AUTHOR_EMAIL": "somebody@podium.invalid",
            "GIT_COMMITTER_NAME": "Somebody",
            "GIT_COMMITTER_EMAIL": "somebody@podium.invalid",
        }
        done = subprocess.run(
            ["git", "-C", str(where), *args], env=env, input=stdin, capture_output=True, check=False
        )
        if check and done.returncode != 0:
            raise AssertionError(f"git {args} ended with {done.returncode}: {done.stderr!r}")
        return done.stdout.decode("utf-8", "surrogateescape").strip()

    def init(self, path: Path, files: Mapping[str, str]) -> Commit:
        """A repository with one commit on main."""
        path.mkdir(parents=True)
        self.plain(path, "init", "--quiet", "-b", "main")
        return self.commit(path, files, "first")

    def commit(self, path: Path, files: Mapping[str, str], message: str) -> Commit:
        for name, content in files.items():
            target = path / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(content)
        self.plain(path, "add", "-A")
        self.plain(path, "commit", "--quiet", "--allow-empty", "-m", message)
        return self.head(path)

    def head(self, path: Path, name: str = "HEAD") -> Commit:
        return parse_commit(self.plain(path, "rev-parse", name))

    async def mirrored(self) -> Mirror:
        made = await mirror.ensure(self.podium, self.mirror_path, parse_url(str(self.source)))
        await mirror.fetch(self.podium, made)
        return made

    async def workspace(self, run: str = "run_1", *, start: Commit | None = None) -> Workspace:
        """A complete workspace on the source's main."""
        await self.mirrored()
        base = self.head(self.source, "main")
        made = Workspace(
            run=run,
            path=self.work / run / "tree",
            git_dir=self.work / run / "git",
            mirror=self.mirror_path,
            base=base,
            branch=parse_branch("podium/task_1-fix"),
            start=start or base,
        )
        await workspace.create(self.podium, made, self.work, author=AGENT)
        return made

    def in_mirror(self, *args: str) -> str:
        return self.plain(self.mirror_path, *args)

    def files_at(self, git_dir: Path, commit: str) -> dict[str, str]:
        """Path → content of a commit, read by plain git."""
        listing = self.plain(git_dir, "ls-tree", "-r", "-z", commit).split("\0")
        found = (record.split("\t", 1) for record in listing if record)
        return {path: self.plain(git_dir, "cat-file", "-p", meta.split()[2]) for meta, path in found}


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path)
    made.init(made.source, {"readme.md": "hello\n", "src/a.py": "a = 1\n", ".gitignore": "*.log\n"})
    yield made
    for line in subprocess.run(["ps", "-eo", "args="], capture_output=True, check=True).stdout.splitlines():
        assert not (line.startswith(b"git ") and str(tmp_path).encode() in line), f"left running: {line!r}"
