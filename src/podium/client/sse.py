"""Server-sent events as the HTML standard reads them, fed in pieces of any size."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec import Struct


class Message(Struct, frozen=True, kw_only=True):
    """One dispatched event. `id` is the last id seen so far; data may be empty for a mere id."""

    kind: str
    data: str
    id: str


def messages(lines: Iterable[str]) -> Iterator[Message]:
    """Also yields a Message with empty data where only an id was sent: it moves the cursor.

    A message cut off by the end of the stream is dropped, so nothing half is ever handed on.
    """
    kind, data, last_id, told = "message", list[str](), "", ""
    for line in lines:
        if not line:
            if data or last_id != told:
                yield Message(kind=kind, data="\n".join(data), id=last_id)
                told = last_id
            kind, data = "message", []
            continue
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            data.append(value)
        elif name == "event":
            kind = value
        elif name == "id" and "\0" not in value:
            last_id = value
