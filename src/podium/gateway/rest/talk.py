"""Messages to agents that work: send, interrupt, set the model, list, show."""

from __future__ import annotations

from typing import Annotated

import msgspec
from litestar import Response, get, post
from msgspec import Meta, Struct

from podium.engine.talk import SendMessage, send_message
from podium.gateway.api import (
    Ask,
    Nothing,
    Page,
    api_of,
    body_of,
    by,
    change,
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
from podium.kernel.session import Message, Mode
from podium.store import queries, schema
from podium.store.idempotency import Answer
from podium.store.unit import Unit


class Interrupt(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of `POST /tasks/{id}/interrupt`. Without text the agent stops and waits for the next message."""

    text: str = ""


class SetModel(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of `POST /tasks/{id}/model`."""

    model: Annotated[str, Meta(extra_json_schema={"pattern": r"^\S{1,200}$"})]


@post(
    "/tasks/{id:str}/messages",
    opt=about(
        "Say something to the agent of a task. `mode` of the answer tells whether it steers the turn that "
        "runs, is queued behind it, or interrupts it.",
        Verb.STEER,
        body=SendMessage,
        answer=Message,
        status=201,
        changes=True,
    ),
)
async def send_one(request: Ask) -> Response[bytes]:
    ask, raw = await body_of(request, SendMessage)
    return await _send(request, ask, raw)


@post(
    "/tasks/{id:str}/interrupt",
    opt=about(
        "Stop the turn that runs; the agent and its conversation stay.",
        Verb.STEER,
        body=Interrupt,
        answer=Message,
        status=201,
        changes=True,
    ),
)
async def interrupt_one(request: Ask) -> Response[bytes]:
    ask, raw = await body_of(request, Interrupt)
    return await _send(request, SendMessage(text=ask.text, mode=Mode.INTERRUPT), raw)


@post(
    "/tasks/{id:str}/model",
    opt=about(
        "Let the agent of a task go on with another model, from its next request to one. Whether its program "
        "took it shows in the state of the message that is made of it.",
        Verb.STEER,
        body=SetModel,
        answer=Message,
        status=201,
        changes=True,
    ),
)
async def set_model(request: Ask) -> Response[bytes]:
    ask, raw = await body_of(request, SetModel)
    return await _send(request, SendMessage(text=ask.model.strip(), mode=Mode.MODEL), raw)


async def _send(request: Ask, ask: SendMessage, raw: bytes) -> Response[bytes]:
    task_id, api, who = id_of(request, "task"), api_of(request), by(request)
    harnesses = api.engine.settings.harnesses
    to_tell: list[RunId] = []

    def effect(unit: Unit) -> Answer:
        message = send_message(unit, task_id, ask, by=who, ids=api.engine.ids, harnesses=harnesses)
        to_tell[:] = [message.run_id]
        return made(message, 201)

    answer = await change(request, raw, effect, of=(schema.tasks, task_id))
    api.engine.tell_later(*to_tell)
    return answer


@get(
    "/tasks/{id:str}/messages",
    opt=about(
        "Messages to the agent of a task, newest first.", query=Page, answer=Listed[Message], here=True
    ),
)
async def list_them(request: Ask) -> Response[bytes]:
    task_id, ask, api = id_of(request, "task"), query_of(request, Page), api_of(request)
    after, scope = page_after(ask, "message"), scope_of(request)
    page = await api.store.reader.run(
        lambda c: queries.list_of_task(
            c, schema.messages, limit=ask.limit, after=after, task=task_id, scope=scope
        )
    )
    if msgspec.json.decode(page, type=_Peeked).items == []:
        # Nothing said, or no such task: the second is an error.
        await api.store.reader.run(lambda c: queries.show(c, schema.tasks, task_id, "task", scope=scope))
    return send_json(page)


class _Peeked(Struct, frozen=True):
    items: list[msgspec.Raw]


@get("/messages/{id:str}", opt=about("One message, and what became of it.", answer=Message, here=True))
async def show_one(request: Ask) -> Response[bytes]:
    query_of(request, Nothing)
    message_id, scope = id_of(request, "message"), scope_of(request)
    hint = "those of a task: GET /tasks/{id}/messages"
    return send_json(
        await api_of(request).store.reader.run(
            lambda c: queries.show(c, schema.messages, message_id, "message", hint=hint, scope=scope)
        )
    )


ROUTES = [send_one, interrupt_one, set_model, list_them, show_one]
