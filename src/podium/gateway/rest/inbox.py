"""The inbox: what agents ask of a person, with the exact effect, and the answer."""

from __future__ import annotations

from typing import Annotated

import msgspec
from litestar import Response, get, post
from msgspec import Meta, Raw, Struct
from msgspec.structs import replace
from sqlalchemy import Connection

from podium.engine.inbox import AnswerInquiry, answer_inquiry
from podium.gateway.api import (
    Ask,
    Nothing,
    Page,
    api_of,
    body_of,
    by,
    change,
    encode,
    id_of,
    made,
    page_after,
    query_of,
    scope_of,
    send_json,
)
from podium.gateway.routes import Listed, about
from podium.kernel.access import Verb
from podium.kernel.ids import RunId
from podium.kernel.inquiry import Effect, Grant, Inquiry
from podium.kernel.states import InquiryState
from podium.store import queries, schema
from podium.store.idempotency import Answer
from podium.store.unit import Unit

MAX_LISTED_BYTES = 8 * 1024
"""Of one inquiry in a list; a longer one loses diff and input there, and `effect.cut` says so."""
MAX_LISTED_TEXT = 2_000
MAX_LISTED_PATHS = 20
HINT = "list them with: podium inbox --all"


class InquiryPage(Page, frozen=True, kw_only=True, forbid_unknown_fields=True):
    state: InquiryState | None = None
    task: Annotated[str, Meta(max_length=100)] | None = None
    run: Annotated[str, Meta(max_length=100)] | None = None


class GrantPage(Page, frozen=True, kw_only=True, forbid_unknown_fields=True):
    task: Annotated[str, Meta(max_length=100)] | None = None


class _Page(Struct, frozen=True):
    items: list[Raw]
    next: str | None


@get(
    "/inquiries",
    opt=about(
        "List inquiries, newest first. Long effects are cut here (`effect.cut`), never in one inquiry.",
        query=InquiryPage,
        answer=Listed[Inquiry],
        here=True,
    ),
)
async def list_them(request: Ask) -> Response[bytes]:
    ask, api = query_of(request, InquiryPage), api_of(request)
    after = page_after(ask, "inquiry")
    state, scope = str(ask.state) if ask.state is not None else None, scope_of(request)

    def read(connection: Connection) -> bytes:
        docs, following = queries.list_inquiries(
            connection, limit=ask.limit, after=after, state=state, task=ask.task, run=ask.run, scope=scope
        )
        return encode(_Page([Raw(_listed(doc)) for doc in docs], following))

    return send_json(await api.store.reader.run(read))


@get("/inquiries/{id:str}", opt=about("One inquiry, with its exact effect.", answer=Inquiry, here=True))
async def show_one(request: Ask) -> Response[bytes]:
    query_of(request, Nothing)
    inquiry_id, scope = id_of(request, "inquiry"), scope_of(request)
    return send_json(
        await api_of(request).store.reader.run(
            lambda c: queries.show(c, schema.inquiries, inquiry_id, "inquiry", hint=HINT, scope=scope)
        )
    )


@post(
    "/inquiries/{id:str}/answer",
    status_code=200,
    opt=about(
        "Allow or deny. The first answer counts; the same again is no error, another one a conflict.",
        Verb.ANSWER,
        body=AnswerInquiry,
        answer=Inquiry,
        changes=True,
    ),
)
async def answer_one(request: Ask) -> Response[bytes]:
    inquiry_id, api, who = id_of(request, "inquiry"), api_of(request), by(request)
    ask, raw = await body_of(request, AnswerInquiry)
    to_tell: list[RunId] = []

    def effect(unit: Unit) -> Answer:
        inquiry = answer_inquiry(unit, inquiry_id, ask, by=who, ids=api.engine.ids)
        to_tell[:] = [inquiry.run_id] if inquiry.delivered_at is None else []
        return made(inquiry)

    answer = await change(request, raw, effect, of=(schema.inquiries, inquiry_id))
    api.engine.tell_later(*to_tell)
    return answer


@get(
    "/grants",
    opt=about(
        "List what answers have allowed, newest first.", query=GrantPage, answer=Listed[Grant], here=True
    ),
)
async def list_grants(request: Ask) -> Response[bytes]:
    ask, api = query_of(request, GrantPage), api_of(request)
    after, scope = page_after(ask, "grant"), scope_of(request)
    return send_json(
        await api.store.reader.run(
            lambda c: queries.list_of_task(
                c, schema.grants, limit=ask.limit, after=after, task=ask.task, scope=scope
            )
        )
    )


def _listed(doc: bytes) -> bytes:
    """A page of 500 must not carry 500 whole diffs."""
    if len(doc) <= MAX_LISTED_BYTES:
        return doc
    inquiry = msgspec.json.decode(doc, type=Inquiry)
    whole = inquiry.effect
    effect = Effect(
        tool=whole.tool,
        kind=whole.kind,
        command=whole.command[:MAX_LISTED_TEXT],
        cwd=whole.cwd,
        paths=whole.paths[:MAX_LISTED_PATHS],
        cut=True,
        digest=whole.digest,
    )
    return encode(replace(inquiry, effect=effect, why=inquiry.why[:MAX_LISTED_TEXT]))


ROUTES = [list_them, show_one, answer_one, list_grants]
