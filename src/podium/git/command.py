"""The only argv to git: one hardened way to run it.

Every command names its git directory (nothing is discovered), runs in an empty directory of ours with an
environment built from nothing, and carries switches that turn off whatever a configuration could make git
execute. The environment has no HOME of the user: their `~/.gitconfig` is not read, except by `as_user`.

- ssh: ssh finds keys and `~/.ssh/config` through the password database, not HOME, so they work; the agent
  socket is passed for ssh remotes only. BatchMode: it fails instead of asking.
- https: proxy and certificate variables are passed, credential helpers are not run, so a private https
  repository is out of reach; use its ssh address.
"""

from __future__ import annotations

import shlex
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from podium.git.base import Identity
from podium.git.urls import RepositoryUrl
from podium.kernel.errors import GitFailed, PodiumError, TooLarge
from podium.kernel.execution import Completed, Execute

GIT_TIMEOUT_S = 120.0
NETWORK_TIMEOUT_S = 900.0
PROBE_TIMEOUT_S = 15.0
MAX_OUTPUT_BYTES = 64 * 1024 * 1024
STDERR_EXCERPT_CHARS = 2_000

_HARDENED = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.untrackedCache=false",
    "core.pager=cat",
    "core.attributesFile=/dev/null",
    "core.excludesFile=/dev/null",
    "core.protectHFS=true",
    "core.protectNTFS=true",
    "core.quotePath=false",
    "credential.helper=",
    "protocol.ext.allow=never",
    "submodule.recurse=false",
    "fetch.recurseSubmodules=false",
    "gc.auto=0",
    "maintenance.auto=false",
    "commit.gpgSign=false",
    "transfer.fsckObjects=true",
    "fetch.fsckObjects=true",
    "http.lowSpeedLimit=1000",
    "http.lowSpeedTime=30",
    # Directories of ours can be made again; what must survive a power cut enters a mirror by receive_pack.
    "core.fsync=none",
)
_AS_USER = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.untrackedCache=false",
    "core.pager=cat",
    "core.quotePath=false",
    "protocol.ext.allow=never",
    "submodule.recurse=false",
    "gc.auto=0",
    "maintenance.auto=false",
    "commit.gpgSign=false",
    "transfer.fsckObjects=true",
)
_OLD_AND_HARMLESS = ("zeroPaddedFilemode", "badTimezone", "missingSpaceBeforeDate", "missingNameBeforeEmail")
"""Formatting faults of commits that old programs wrote; fsck would refuse whole honest histories for them."""

_REMOTE_VARIABLES: Mapping[str, tuple[str, ...]] = {
    "local": (),
    "ssh": ("SSH_AUTH_SOCK",),
    "https": (
        "HTTPS_PROXY",
        "https_proxy",
        "ALL_PROXY",
        "all_proxy",
        "NO_PROXY",
        "no_proxy",
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
    ),
}
_USER_VARIABLES = ("HOME", "XDG_CONFIG_HOME", "USER", "LOGNAME", "TMPDIR")


class Place(Struct, frozen=True, kw_only=True):
    """Which repository a command acts on, and with which tree, index and object store."""

    git_dir: Path
    work_tree: Path | None = None
    index: Path | None = None
    objects: Path | None = None
    """Where new objects go instead of `git_dir`, whose own are then read as alternates."""

    @property
    def tree(self) -> Path:
        """The work tree, where one is needed; a place without is a mistake of ours."""
        if self.work_tree is None:
            raise PodiumError(f"{self.git_dir} was given no work tree.")
        return self.work_tree


class Bounds(Struct, frozen=True, kw_only=True):
    """The limits of one command. Output beyond `limit_bytes` is dropped and marked."""

    timeout_s: float = GIT_TIMEOUT_S
    limit_bytes: int = MAX_OUTPUT_BYTES


LOCAL = Bounds()
NETWORK = Bounds(timeout_s=NETWORK_TIMEOUT_S)


class Git:
    """Runs git for this process. Holds no state but its environment; safe to share between tasks."""

    def __init__(self, execute: Execute, home: Path, environ: Mapping[str, str]) -> None:
        """`home`: an empty directory of ours, made on first use. `environ`: where PATH and, for remotes
        only, SSH_AUTH_SOCK and the proxy variables are taken from."""
        self._execute = execute
        self._home = home
        self._environ = dict(environ)
        self._user = False

    def as_user(self) -> Git:
        """The same git, but with the user's HOME and their configuration (their identity, line endings, LFS
        filters). Only for their own checkout, on their own order; hooks stay off."""
        other = Git(self._execute, self._home, self._environ)
        other._user = True
        return other

    async def run(
        self,
        place: Place | None,
        *args: str | Path,
        stdin: bytes = b"",
        bounds: Bounds = LOCAL,
        ok: Collection[int] = (0,),
        env: Mapping[str, str] | None = None,
    ) -> Completed:
        """Run `git args` at a place; raises GitFailed unless the exit code is one of `ok`, or on a timeout.

        Untrusted values in `args` have passed `names` or `urls`, are refs or hashes, or stand after `--`.
        """
        self._home.mkdir(mode=0o700, parents=True, exist_ok=True)
        words = [str(word) for word in args]
        done = await self._execute(
            [*self._prefix(place), *words],
            cwd=self._home,
            env={**self._environment(place), **(env or {})},
            stdin=stdin,
            timeout_s=bounds.timeout_s,
            limit_bytes=bounds.limit_bytes,
        )
        if done.timed_out or done.code not in ok:
            raise _failure(words, done, bounds)
        return done

    async def read(
        self,
        place: Place | None,
        *args: str | Path,
        stdin: bytes = b"",
        bounds: Bounds = LOCAL,
        env: Mapping[str, str] | None = None,
    ) -> bytes:
        """The whole standard output of a command that must succeed; TooLarge when it exceeds its limit."""
        done = await self.run(place, *args, stdin=stdin, bounds=bounds, env=env)
        if done.truncated:
            raise TooLarge(
                f"git {args[0]} printed more than {bounds.limit_bytes} bytes.",
                hint="Exclude generated files with .gitignore.",
            )
        return done.stdout

    def remote_environment(self, url: RepositoryUrl) -> dict[str, str]:
        """What git may additionally see while it talks to this remote, and the one protocol it may use."""
        names = _REMOTE_VARIABLES[url.kind]
        passed = {name: self._environ[name] for name in names if name in self._environ}
        return {**passed, "GIT_ALLOW_PROTOCOL": url.protocols}

    def _prefix(self, place: Place | None) -> list[str]:
        argv = ["git", "--no-pager"]
        for setting in _AS_USER if self._user else _HARDENED:
            argv += ["-c", setting]
        for message in _OLD_AND_HARMLESS:
            argv += ["-c", f"fetch.fsck.{message}=ignore"]
        if place is not None:
            argv.append(f"--git-dir={place.git_dir}")
            if place.work_tree is not None:
                argv.append(f"--work-tree={place.work_tree}")
        return argv

    def _environment(self, place: Place | None) -> dict[str, str]:
        env = {
            "PATH": self._environ.get("PATH", "/usr/local/bin:/usr/bin:/bin"),
            "LANG": "C",
            "LC_ALL": "C",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_OPTIONAL_LOCKS": "0",
            "GIT_ALLOW_PROTOCOL": "file",
            "GIT_PROTOCOL_FROM_USER": "0",
            "GIT_NO_LAZY_FETCH": "1",
            "GIT_NO_REPLACE_OBJECTS": "1",
            "GIT_SSH_COMMAND": "ssh -oBatchMode=yes -oConnectTimeout=10",
            "GIT_EDITOR": ":",
            "GIT_ASKPASS": ":",
            "SSH_ASKPASS": ":",
        }
        if self._user:
            env |= {name: self._environ[name] for name in _USER_VARIABLES if name in self._environ}
        else:
            env |= {
                "HOME": str(self._home),
                "XDG_CONFIG_HOME": str(self._home),
                "GIT_CONFIG_NOSYSTEM": "1",
                "GIT_CONFIG_GLOBAL": "/dev/null",
                "GIT_ATTR_NOSYSTEM": "1",
            }
        if place is not None and place.index is not None:
            env["GIT_INDEX_FILE"] = str(place.index)
        if place is not None and place.objects is not None:
            env["GIT_OBJECT_DIRECTORY"] = str(place.objects)
            env["GIT_ALTERNATE_OBJECT_DIRECTORIES"] = str(place.git_dir / "objects")
        return env


def upload_pack(repository: Path) -> str:
    """The `--upload-pack` for a repository that may be hostile or somebody else's.

    `-c` settings of a fetch do not reach the other side, so the other side gets its own. The directory is
    named in safe.directory, exactly, because upload-pack is the one program that is made to serve strangers.
    """
    return _other_side("upload-pack", repository, "uploadpack.allowAnySHA1InWant=true")


def receive_pack(repository: Path) -> str:
    """The `--receive-pack` for a repository of ours or the user's: checked, quarantined, no hooks, no gc,
    and on the disk (objects before the ref) when it returns."""
    return _other_side("receive-pack", repository, *_receiving())


def receive_words(repository: Path) -> list[str]:
    """The same program as arguments of `Git.run`, one exchange on its stdin and stdout (`git/pack.py`)."""
    settings = _settings(repository, *_receiving())
    return [*(word for one in settings for word in ("-c", one)), "receive-pack", "--stateless-rpc"]


def _receiving() -> tuple[str, ...]:
    harmless = [f"receive.fsck.{message}=ignore" for message in _OLD_AND_HARMLESS]
    durable = ("core.fsync=loose-object,pack,pack-metadata,reference", "core.fsyncMethod=batch")
    return ("receive.fsckObjects=true", "receive.autogc=false", *durable, *harmless)


def signed(author: Identity, at: int) -> dict[str, str]:
    """The environment that makes a commit's hash a function of its content: who and when, UTC."""
    when = f"{at} +0000"
    return {
        "GIT_AUTHOR_NAME": author.name,
        "GIT_AUTHOR_EMAIL": author.email,
        "GIT_AUTHOR_DATE": when,
        "GIT_COMMITTER_NAME": author.name,
        "GIT_COMMITTER_EMAIL": author.email,
        "GIT_COMMITTER_DATE": when,
    }


def _other_side(program: str, repository: Path, *settings: str) -> str:
    words = ["git"]
    for setting in _settings(repository, *settings):
        words += ["-c", shlex.quote(setting)]
    return " ".join([*words, program])


def _settings(repository: Path, *settings: str) -> tuple[str, ...]:
    safe = (f"safe.directory={repository}", f"safe.directory={repository / '.git'}")
    return ("core.hooksPath=/dev/null", "core.fsmonitor=false", *safe, *settings)


def _failure(words: Sequence[str], done: Completed, bounds: Bounds) -> GitFailed:
    excerpt = done.stderr.decode("utf-8", "backslashreplace").strip()[-STDERR_EXCERPT_CHARS:]
    what = f"took longer than {bounds.timeout_s:g} s" if done.timed_out else f"ended with code {done.code}"
    return GitFailed(
        f"git {words[0]} {what}: {excerpt}" if excerpt else f"git {words[0]} {what}.",
        code=done.code,
        argv=words,
        stderr=excerpt,
        timed_out=done.timed_out,
    )
