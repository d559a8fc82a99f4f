"""Files that somebody gives an agent with a task: stored by hash beforehand, named here."""

from __future__ import annotations

import re

import msgspec
from sqlalchemy import select

from podium.kernel.errors import InvalidRequest, NotFound, TooLarge
from podium.kernel.ids import TaskId, parse_id
from podium.kernel.nouns import MAX_ATTACHMENT_BYTES, Artifact, Attach, Attachment
from podium.store import schema
from podium.store.unit import Unit

_NAME = re.compile(r"[^\x00-\x1f\x7f/\\]{1,200}")


def attachments_of(unit: Unit, asked: tuple[Attach, ...]) -> tuple[Attachment, ...]:
    """What was asked for, with the sizes of what is stored. Raises InvalidRequest for a name that is none,
    NotFound for bytes that are not here, TooLarge."""
    seen: set[str] = set()
    found = []
    for one in asked:
        if not _NAME.fullmatch(one.name) or one.name.startswith("."):
            raise InvalidRequest(
                f"{one.name[:80]!r} is no name for a file", hint="without / and not beginning with a dot"
            )
        if one.name.casefold() in seen:
            raise InvalidRequest(f"two attachments are called {one.name!r}", hint="name them differently")
        seen.add(one.name.casefold())
        found.append(_found(unit, one))
    return tuple(found)


def claim_attachments(unit: Unit, attachments: tuple[Attachment, ...], task_id: TaskId) -> None:
    """They are kept as long as the task is open. Raises NotFound."""
    for one in attachments:
        if not unit.claim_artifact(one.artifact, task_id):
            raise _gone(one.name)


def _found(unit: Unit, one: Attach) -> Attachment:
    table = schema.artifacts
    artifact_id = parse_id("artifact", one.artifact)
    row = unit.connection.execute(select(table.c.doc).where(table.c.id == artifact_id)).first()
    if row is None:
        raise _gone(one.name)
    stored = msgspec.json.decode(row[0], type=Artifact)
    if stored.size > MAX_ATTACHMENT_BYTES:
        raise TooLarge(
            f"{one.name!r} is larger than {MAX_ATTACHMENT_BYTES // 1024**2} MB",
            hint="put it where the agent can fetch it, and say where in the prompt",
            limit_bytes=MAX_ATTACHMENT_BYTES,
        )
    return Attachment(name=one.name, artifact=stored.id, size=stored.size, media_type=stored.media_type)


def _gone(name: str) -> NotFound:
    return NotFound(f"the bytes of {name!r} are not here (any more)", hint="send them: PUT /artifacts/ID")
