"""Who is asking: bearer tokens, stored only as hashes; their files on this machine; what each kind may do."""

from __future__ import annotations

import hashlib
import hmac
import os
import stat
from pathlib import Path
from typing import Literal

import anyio.to_thread
from msgspec import Struct
from sqlalchemy import Connection, insert, select

from podium.kernel.clock import Entropy
from podium.kernel.errors import Forbidden, Unauthorized, Unavailable
from podium.kernel.ids import kind_of, make_id
from podium.store import schema
from podium.store.schema import timestamp
from podium.store.store import Store
from podium.store.unit import Unit

Kind = Literal["owner", "worker"]
ARTIFACTS = "/api/v1/artifacts/"
TOKEN_BYTES = 32
MAX_TOKEN = 200
MAX_FILE_BYTES = 4_096


class Principal(Struct, frozen=True, kw_only=True):
    """An authenticated actor. `subject` is what events name as their cause."""

    kind: Kind
    subject: str
    token_id: str


class TokenFiles(Struct, frozen=True, kw_only=True):
    """The tokens of this machine, as their files hold them."""

    owner: str
    worker: str


class Tokens:
    """The hashes of every token in force."""

    def __init__(self, known: dict[bytes, Principal]) -> None:
        self._known = known

    def principal(self, authorization: bytes) -> Principal:
        """Of an `Authorization` header. Raises Unauthorized, always with the same words."""
        scheme, _, raw = authorization.partition(b" ")
        token = raw.strip()
        if scheme.lower() != b"bearer" or not 0 < len(token) <= MAX_TOKEN:
            raise _refusal()
        digest = hashlib.sha256(token).hexdigest().encode()
        # Every hash is compared, in constant time, so that the answer takes equally long for all.
        found = None
        for known, principal in self._known.items():
            if hmac.compare_digest(known, digest):
                found = principal
        if found is None:
            raise _refusal()
        return found


def _refusal() -> Unauthorized:
    return Unauthorized("that token is not valid here", hint="the owner's is in $PODIUM_HOME/owner.token")


async def load_tokens(store: Store) -> Tokens:
    return Tokens(await store.reader.run(_in_force))


def may(principal: Principal, method: str, path: str) -> None:
    """Raises Forbidden. A worker's token uploads artifacts, and fetches the snapshots that open tasks start
    from (which of them, `rest/artifacts.py` decides): an agent that steals it from its machine can neither
    list nor order anything."""
    if principal.kind == "owner":
        return
    below = path.removeprefix(ARTIFACTS) if path.startswith(ARTIFACTS) else ""
    # An exact id: with a trailing slash the router takes the path for the list.
    if not (method == "PUT" and below) and not (method == "GET" and kind_of(below) == "artifact"):
        raise Forbidden(
            "a worker's token may only upload artifacts and fetch snapshots",
            hint="use the one in $PODIUM_HOME/owner.token",
        )


async def ensure_tokens(store: Store, home: Path, *, entropy: Entropy = os.urandom) -> TokenFiles:
    """The tokens of this machine; made when missing, as files of mode 0600.

    Raises Unavailable for a file that others may read or that belongs to somebody else.
    """
    owner = await _ensure(store, home, "owner", entropy)
    worker = await _ensure(store, home, "worker", entropy)
    return TokenFiles(owner=owner, worker=worker)


async def _ensure(store: Store, home: Path, kind: Kind, entropy: Entropy) -> str:
    path = token_path(home, kind)
    known = await store.reader.run(_hashes)
    token = await anyio.to_thread.run_sync(_read, path)
    if token is None or known.get(_digest(token)) == "revoked":
        # The file first: a crash in between leaves a file whose hash the next start stores.
        token = f"podium_{kind}_{entropy(TOKEN_BYTES).hex()}"
        await anyio.to_thread.run_sync(_write, path, token)
    if _digest(token) not in known:
        token_id = make_id("token", int(store.clock.now().timestamp() * 1000), entropy(10))
        row = {"hash": _digest(token), "id": token_id, "kind": kind, "subject": kind}
        await store.writer.run(lambda unit: _insert(unit, row))
    return token


def token_path(home: Path, kind: Kind) -> Path:
    return home / f"{kind}.token"


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _in_force(connection: Connection) -> dict[bytes, Principal]:
    table = schema.tokens
    query = select(table.c.hash, table.c.kind, table.c.subject, table.c.id).where(
        table.c.revoked_at.is_(None)
    )
    return {
        row.hash.encode(): Principal(kind=row.kind, subject=row.subject, token_id=row.id)
        for row in connection.execute(query)
    }


def _hashes(connection: Connection) -> dict[str, str]:
    table = schema.tokens
    rows = connection.execute(select(table.c.hash, table.c.revoked_at))
    return {row.hash: "revoked" if row.revoked_at else "valid" for row in rows}


def _insert(unit: Unit, row: dict[str, str]) -> None:
    unit.execute(insert(schema.tokens).values(**row, created_at=timestamp(unit.now)))


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


def _write(path: Path, token: str) -> None:
    fresh = path.with_name(f".{path.name}.new")
    fresh.unlink(missing_ok=True)
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(token + "\n")
        file.flush()
        os.fsync(file.fileno())
    os.replace(fresh, path)
