"""The tokens of this machine: files of mode 0600 in the home, made when missing."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

import anyio.to_thread
from msgspec import Struct

from podium.engine.tokens import hash_of, keep_file_token, new_secret
from podium.kernel.access import Kind
from podium.kernel.clock import Entropy
from podium.kernel.errors import Unavailable
from podium.kernel.ids import IdMaker
from podium.store import schema
from podium.store.store import Store

MAX_FILE_BYTES = 4_096
IN_FILES: Final = (Kind.OWNER, Kind.WORKER)


class TokenFiles(Struct, frozen=True, kw_only=True):
    """What they hold."""

    owner: str
    worker: str


async def ensure_tokens(store: Store, home: Path, *, entropy: Entropy = os.urandom) -> TokenFiles:
    """The tokens of this machine.

    Raises Unavailable for a file that others may read or that belongs to somebody else.
    """
    ids = IdMaker(store.clock, entropy)
    secrets = {}
    for kind in IN_FILES:
        path = token_path(home, kind)
        secret = await anyio.to_thread.run_sync(_read, path)
        if secret is None or await _is_void(store, secret):
            # The file first: a crash in between leaves a file whose hash the next start stores.
            secret = new_secret(kind, entropy)
            await anyio.to_thread.run_sync(write_token, path, secret)
        secrets[str(kind)] = secret
        await store.writer.run(lambda unit, k=kind, s=secret: keep_file_token(unit, k, s, ids=ids))  # type: ignore[misc]
    return TokenFiles(**secrets)


def token_path(home: Path, kind: str) -> Path:
    return home / f"{kind}.token"


def write_token(path: Path, secret: str) -> None:
    """By rename, and on the disk before it is there."""
    fresh = path.with_name(f".{path.name}.new")
    fresh.unlink(missing_ok=True)
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(secret + "\n")
        file.flush()
        os.fsync(file.fileno())
    os.replace(fresh, path)


async def _is_void(store: Store, secret: str) -> bool:
    """Whether the store has it, as one that no longer counts."""
    table = schema.tokens
    query = table.select().where(table.c.hash == hash_of(secret), table.c.in_force == 0)
    return await store.reader.run(lambda c: c.execute(query).first() is not None)


def _read(path: Path) -> str | None:
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Unavailable(f"{path} cannot be read: {error.strerror}", hint=f"remove {path}") from error
    with os.fdopen(handle, "rb") as file:
        found = os.fstat(file.fileno())
        if found.st_uid != os.geteuid():
            raise Unavailable(f"{path} belongs to another user", hint=f"remove {path}; a new one is made")
        if found.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise Unavailable(
                f"{path} can be read by others (mode {stat.S_IMODE(found.st_mode):04o})",
                hint=f"remove {path}; a new token is made at the next start",
            )
        text = file.read(MAX_FILE_BYTES).decode("ascii", "replace").strip()
    return text or None
