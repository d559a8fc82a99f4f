"""Workers: who has ever joined, and who is there now."""

from __future__ import annotations

import msgspec
from litestar import Response, get
from msgspec import Struct

from podium.gateway.api import Ask, Nothing, Page, api_of, encode, id_of, page_after, query_of, send_json
from podium.gateway.presence import Presence
from podium.gateway.routes import Listed, about
from podium.kernel.nouns import Worker
from podium.store import queries, schema


class ShownWorker(Worker, frozen=True, kw_only=True):
    """A worker with what only memory knows about it."""

    connected: bool
    silent_s: float | None
    """Seconds since it was heard; null when it is not known at present."""


class _Listed(Struct, frozen=True):
    items: tuple[Worker, ...]
    next: str | None


@get("/workers", opt=about("List workers, newest first.", query=Page, answer=Listed[ShownWorker], here=True))
async def list_them(request: Ask) -> Response[bytes]:
    ask, api = query_of(request, Page), api_of(request)
    after = page_after(ask, "worker")
    await api.presence.refresh()
    page = await api.store.reader.run(lambda c: queries.list_workers(c, limit=ask.limit, after=after))
    listed = msgspec.json.decode(page, type=_Listed)
    shown = tuple(_shown(worker, api.presence) for worker in listed.items)
    return send_json(encode(Listed(items=shown, next=listed.next)))


@get("/workers/{id:str}", opt=about("One worker.", answer=ShownWorker, here=True))
async def show_one(request: Ask) -> Response[bytes]:
    query_of(request, Nothing)
    api, worker_id = api_of(request), id_of(request, "worker")
    await api.presence.refresh()
    doc = await api.store.reader.run(lambda c: queries.show(c, schema.workers, worker_id, "worker"))
    return send_json(encode(_shown(msgspec.json.decode(doc, type=Worker), api.presence)))


def _shown(worker: Worker, presence: Presence) -> ShownWorker:
    silence_s = presence.silence_s(worker.id)
    return ShownWorker(
        **msgspec.structs.asdict(worker),
        connected=presence.is_connected(worker.id),
        silent_s=None if silence_s is None else round(silence_s, 3),
    )


ROUTES = [list_them, show_one]
