"""A PostgreSQL cluster of the tests' own: made, crashed and started again by pid. Needs the distribution's
packages (`initdb`); never a server that runs already, unless its URL is given."""

from __future__ import annotations

import contextlib
import itertools
import os
import pwd
import re
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import psycopg

from podium.store.postgresql import PostgresqlDatabase

PLACES = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/postgresql*/bin")
READY_WITHIN_S = 30.0
LOOK_EVERY_S = 0.02
MEND = "install it (apt install postgresql), or name a server: PODIUM_TEST_DATABASE_URL=postgresql://…"
_TEMPLATE = "podium_template"


class Missing(Exception):
    """There is no PostgreSQL to test with."""


def programs() -> Path:
    """The directory of `initdb` and `postgres`, the newest there is. Raises Missing."""
    found = shutil.which("initdb")
    if found is not None:
        return Path(found).resolve().parent
    here = [path for place in PLACES for path in Path("/").glob(place[1:]) if (path / "initdb").exists()]
    if not here:
        raise Missing(f"no PostgreSQL (initdb) on this machine: {MEND}")
    return max(here, key=lambda path: [int(number) for number in re.findall(r"\d+", str(path))])


class Databases:
    """Makes empty databases at our version on one server, quickly, from a template."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._numbers = itertools.count(1)
        self._prefix = f"podium_{os.getpid()}"
        self._template: str | None = None

    def make(self, *, migrated: bool = True) -> str:
        """The URL of a new database."""
        name = f"{self._prefix}_{next(self._numbers)}"
        if not migrated:
            self._create(name)
            return self.url(name)
        if self._template is None:
            self._template = f"{self._prefix}_{_TEMPLATE}"
            self._create(self._template)
            PostgresqlDatabase(self.url(self._template)).open()
        self.sql(f'CREATE DATABASE "{name}" TEMPLATE "{self._template}"')
        return self.url(name)

    def drop(self, url: str) -> None:
        name = url.partition("?")[0].rpartition("/")[2]
        self.sql(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def close(self) -> None:
        if self._template is not None:
            self.drop(self.url(self._template))

    def url(self, name: str) -> str:
        head, question, query = self._url.partition("?")
        return f"{head.rpartition('/')[0]}/{name}{question}{query}"

    def sql(self, statement: str, database: str | None = None) -> list[Any]:
        """Run one statement as the administrator; returns its rows."""
        url = self._url if database is None else database
        with psycopg.connect(url, autocommit=True) as connection:
            done = connection.execute(statement.encode())
            return done.fetchall() if done.description else []

    def _create(self, name: str) -> None:
        """If the server can, with an order of text that is not that of bytes: nothing may depend on it."""
        made = f"CREATE DATABASE \"{name}\" TEMPLATE template0 ENCODING 'UTF8'"
        try:
            self.sql(f"{made} LOCALE_PROVIDER icu ICU_LOCALE 'en-US'")
        except psycopg.Error:
            self.sql(made)


class Cluster:
    """One server on a Unix socket in a temporary directory. As root it runs as `nobody`: it refuses root."""

    def __init__(self) -> None:
        self._bin = programs()
        self._root = self.folder = Path(tempfile.mkdtemp(prefix="podium-pg-"))
        self._data = self._root / "data"
        self._as: dict[str, Any] = {}
        if os.geteuid() == 0:
            user = pwd.getpwnam("nobody")
            os.chown(self._root, user.pw_uid, user.pw_gid)
            self._as = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"postgresql://podium@/postgres?host={self._root}"
        self.databases = Databases(self.url)
        words = ["initdb", "-D", str(self._data), "-U", "podium", "-A", "trust", "-E", "UTF8"]
        done = self._run(*words, "--locale=C", "--no-sync")
        if done.returncode:
            raise Missing(f"initdb failed: {done.stderr.decode()[-300:]}")

    def start(self) -> None:
        """Returns when it answers."""
        words = ("listen_addresses=", f"unix_socket_directories={self._root}", "max_connections=100",
                 "shared_buffers=32MB", "log_line_prefix=%m %p ", "timezone=UTC")  # fmt: skip
        flags = [word for setting in words for word in ("-c", setting)]
        with (self._root / "log").open("ab") as out:
            self._process = subprocess.Popen(
                [str(self._bin / "postgres"), "-D", str(self._data), *flags],
                stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=self._root, start_new_session=True,
                **self._as,
            )  # fmt: skip
        end = time.monotonic() + READY_WITHIN_S
        while True:
            try:
                psycopg.connect(self.url, connect_timeout=5).close()
            except psycopg.OperationalError as error:
                if time.monotonic() > end or self._process.poll() is not None:
                    raise Missing(f"PostgreSQL did not start: {error}; see {self._root / 'log'}") from error
                time.sleep(LOOK_EVERY_S)
            else:
                return

    def is_up(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """SIGINT: in order. SIGQUIT: at once, without a checkpoint (`pg_ctl stop -m immediate`). SIGKILL: the
        first process only; the others see that and end."""
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(how)
        process.wait(READY_WITHIN_S)
        if how is signal.SIGKILL:
            self._wait_for_the_others()

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self._root, ignore_errors=True)

    def _wait_for_the_others(self) -> None:
        """A new start is refused as long as one of the old processes has the shared memory."""
        end = time.monotonic() + READY_WITHIN_S
        while time.monotonic() < end and any(_in(pid, self._data) for pid in _pids()):
            time.sleep(LOOK_EVERY_S)

    def _run(self, *words: str) -> subprocess.CompletedProcess[bytes]:
        command = [str(self._bin / words[0]), *words[1:]]
        return subprocess.run(command, capture_output=True, cwd=self._root, timeout=120, **self._as)


def _pids() -> list[str]:
    return [entry.name for entry in Path("/proc").glob("[0-9]*")]


def _in(pid: str, directory: Path) -> bool:
    with contextlib.suppress(OSError):
        return os.readlink(f"/proc/{pid}/cwd") == str(directory)
    return False
