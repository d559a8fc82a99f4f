"""The event log by cursor, as pages. Following it live stands in `gateway/stream.py`."""

from __future__ import annotations

from typing import Annotated

import msgspec
from litestar import Response, get
from msgspec import Meta, Raw, Struct
from sqlalchemy import Connection

from podium.gateway import cursor
from podium.gateway.api import Ask, api_of, encode, query_of, scope_of, send_json
from podium.gateway.openapi import Events
from podium.gateway.routes import about
from podium.kernel.errors import CursorExpired, InvalidRequest
from podium.store import queries
from podium.store.pages_back import list_events_before

MAX_EVENTS = 1_000
MAX_TYPES = 50


class EventPage(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Oldest first, strictly after `after`; without it, from the beginning of what is kept."""

    after: Annotated[str, Meta(max_length=100)] | None = None
    before: Annotated[str, Meta(max_length=100)] | None = None
    """Instead of `after`: the newest ones up to that place; `cursor` goes into the next `before`."""
    task: Annotated[str, Meta(max_length=100)] | None = None
    run: Annotated[str, Meta(max_length=100)] | None = None
    type: Annotated[str, Meta(max_length=2_000)] | None = None
    """One type, or several with commas between them."""
    limit: Annotated[int, Meta(ge=1, le=MAX_EVENTS)] = 200


class _Numbered(Struct, frozen=True):
    seq: int


@get("/events", opt=about("Events after a cursor, or up to one.", query=EventPage, answer=Events, here=True))
async def list_them(request: Ask) -> Response[bytes]:
    ask, api = query_of(request, EventPage), api_of(request)
    if ask.before is not None:
        return await _list_back(request, ask, cursor.decode(ask.before))
    after = cursor.decode(ask.after) if ask.after is not None else 0
    types, scope = types_of(ask.type), scope_of(request)

    def read(connection: Connection) -> tuple[list[bytes], int]:
        return queries.list_events(
            connection, after=after, limit=ask.limit, task=ask.task, run=ask.run, types=types, scope=scope
        )

    try:
        events, last = await api.store.reader.run(read)
    except CursorExpired as error:
        raise cursor.expired(int(error.details["oldest"])) from None
    if events:
        # The end of the log was read before the rows: what came in between is in the page already.
        last = max(last, msgspec.json.decode(events[-1], type=_Numbered).seq)
    return _page(events, last)


async def _list_back(request: Ask, ask: EventPage, before: int) -> Response[bytes]:
    if ask.after is not None:
        raise InvalidRequest("`after` and `before` exclude each other", hint="give one of the two")
    types, scope = types_of(ask.type), scope_of(request)
    events, place = await api_of(request).store.reader.run(
        lambda c: list_events_before(
            c, before=before, limit=ask.limit, task=ask.task, run=ask.run, types=types, scope=scope
        )
    )
    return _page(events, place)


def _page(events: list[bytes], place: int) -> Response[bytes]:
    return send_json(encode({"events": [Raw(event) for event in events], "cursor": cursor.encode(place)}))


def types_of(raw: str | None) -> tuple[str, ...]:
    types = tuple(part for part in (raw or "").split(",") if part)
    if len(types) > MAX_TYPES:
        raise InvalidRequest(f"at most {MAX_TYPES} types at once")
    return types


ROUTES = [list_them]
