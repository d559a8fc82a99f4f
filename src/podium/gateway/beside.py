"""A gateway beside the server: what rows answer it answers itself, everything else the main server does.

The secret of whoever asks travels along, never a claim about who that is: the main server looks at it as if
it had been shown there.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, cast

import anyio
from litestar import Response
from litestar.types import ASGIApp, Receive, Scope, Send
from msgspec.structs import replace

from podium.bus import messages as m
from podium.gateway.api import Api, Ask
from podium.gateway.auth import SECRET
from podium.gateway.errors import told_by_worker
from podium.gateway.main_server import MainServer
from podium.gateway.routes import About
from podium.gateway.settings import GatewaySettings
from podium.kernel.errors import Conflict, InvalidRequest, NotFound, Unavailable

COMMAND = "podium.command"
"""Where, at the main server, the command stands in the scope of a request that came as one."""
PASSED = frozenset({"content-type", "idempotency-key", "range", "if-range", "if-none-match"})
"""Headers that the main server gets to see; the others this gateway has dealt with."""
ANSWER_S = 120.0
"""How long the main server may take; some of what it is asked waits for git or the network."""
UPLOAD_S = 24 * 3600.0
PIECE_S = 30.0
PIECE_BYTES = 1024 * 1024
PART_BYTES = 4 * 1024 * 1024
"""What is in memory of one download."""
ASK_AGAIN_S = 0.05
SEVERAL_TIMES = 40
READS = frozenset({"GET", "HEAD"})


class Beside:
    """One per gateway that follows."""

    def __init__(self, main: MainServer, settings: GatewaySettings) -> None:
        self.main = main
        self._settings = settings

    async def pass_on(self, request: Ask, *, parts: bool, streams_in: bool) -> Response[bytes]:
        """The main server's answer. `parts`: the answer may be longer than a message; `streams_in`: so may
        the body. Raises Unavailable."""
        command = self._command(request)
        if streams_in:
            return Passed(await self._upload(command, request))
        if parts:
            return await self._download(command)
        return Passed(await self._ask(replace(command, body=await request.body())))

    def _command(self, request: Ask) -> m.Command:
        scope = cast("dict[str, Any]", request.scope)
        secret, client = scope.get(SECRET), scope.get("client")
        given = ((name.decode().lower(), value.decode("latin-1")) for name, value in scope["headers"])
        return m.Command(
            method=scope["method"],
            path=scope["path"],
            query=scope["query_string"],
            headers=tuple((name, value) for name, value in given if name in PASSED),
            secret=None if secret is None else secret.decode("latin-1"),
            caller=str(client[0]) if client else "",
            port=self._settings.port,
            public_url=self._settings.exposure.public_url,
        )

    async def _ask(self, command: m.Command, timeout_s: float = ANSWER_S) -> m.CommandAnswer:
        changes = command.method not in READS
        told = await self.main.ask(command, timeout_s=timeout_s, changes=changes)
        if isinstance(told, m.Failure):
            raise told_by_worker(told)
        if not isinstance(told, m.CommandAnswer):
            raise Unavailable("the main server gave an answer to something else")
        return told

    # ---- bodies larger than a message ------------------------------------------------------------------

    async def _download(self, command: m.Command) -> Response[bytes]:
        """Part by part, each with the secret, none kept here."""
        first = await self._ask(replace(command, answer_bytes=PART_BYTES))
        if not first.more:
            return Passed(first)
        return Passed(first, self._further(command, first))

    async def _further(self, command: m.Command, first: m.CommandAnswer) -> AsyncIterator[bytes]:
        told = dict(first.headers)
        start = int(told["content-range"].split()[1].partition("-")[0]) if first.status == 206 else 0
        end = start + int(told["content-length"])
        start += len(first.body)
        while start < end:
            # The content of what comes in parts never changes: no If-Range is needed to hold them together.
            part = (("range", f"bytes={start}-{min(start + PART_BYTES, end) - 1}"),)
            got = await self._ask(replace(command, headers=part))
            if got.status != 206 or not got.body:
                raise Unavailable(f"the main server answered {got.status} in the middle of a download")
            start += len(got.body)
            yield got.body

    async def _upload(self, command: m.Command, request: Ask) -> m.CommandAnswer:
        """The body as it comes, never more of it in memory than a piece. What is not taken to its end leaves
        nothing at the main server, whoever dies."""
        command = replace(command, body_id=uuid.uuid4().hex)
        ending: list[m.CommandAnswer | Exception] = []
        async with anyio.create_task_group() as tasks:

            async def ask() -> None:
                try:
                    ending.append(await self._ask(command, UPLOAD_S))
                except Exception as error:
                    ending.append(error)
                tasks.cancel_scope.cancel()

            async def send() -> None:
                try:
                    await self._send_body(str(command.body_id), request)
                except Exception as error:
                    ending.append(error)
                    tasks.cancel_scope.cancel()

            tasks.start_soon(ask)
            tasks.start_soon(send)
        if isinstance(ending[0], Exception):
            raise ending[0]
        return ending[0]

    async def _send_body(self, body_id: str, request: Ask) -> None:
        async for data in request.stream():
            for start in range(0, len(data), PIECE_BYTES):
                piece = m.BodyPiece(body_id=body_id, data=data[start : start + PIECE_BYTES])
                if not await self._send(piece):
                    return
        await self._send(m.BodyPiece(body_id=body_id, data=b"", last=True))

    async def _send(self, piece: m.BodyPiece) -> bool:
        """False when nobody reads that body: then the answer is on its way, and says why."""
        for _ in range(SEVERAL_TIMES):
            told = await self.main.ask(piece, timeout_s=PIECE_S)
            if not isinstance(told, m.Failure):
                return True
            if told.code != NotFound.code:
                raise told_by_worker(told)
            # Requests may overtake each other: the command itself may not be there yet.
            await anyio.sleep(ASK_AGAIN_S)
        return False


class Passed(Response[bytes]):
    """The main server's answer as it is."""

    def __init__(self, told: m.CommandAnswer, further: AsyncIterator[bytes] | None = None) -> None:
        super().__init__(told.body, status_code=told.status)
        self._told = told
        self._further = further

    def to_asgi_response(self, *_: Any, **__: Any) -> ASGIApp:  # type: ignore[override]
        return self._send

    async def _send(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        told = self._told
        headers = [(name.encode(), value.encode("latin-1")) for name, value in told.headers]
        start: Any = {"type": "http.response.start", "status": told.status, "headers": headers}
        await send(start)
        piece: Any = {"type": "http.response.body", "body": told.body, "more_body": self._further is not None}
        await send(piece)
        if self._further is None:
            return
        async for data in self._further:
            piece = {"type": "http.response.body", "body": data, "more_body": True}
            await send(piece)
        piece = {"type": "http.response.body", "body": b"", "more_body": False}
        await send(piece)


def passing_on(api: Api) -> Callable[[Ask], Awaitable[Response[bytes] | None]]:
    """For the framework, before every handler: an answer instead of it, or None."""
    beside = None if api.main is None else Beside(api.main, api.settings)

    async def before(request: Ask) -> Response[bytes] | None:
        about = cast("About", request.route_handler.opt["about"])
        if beside is None:
            if COMMAND in cast("dict[str, Any]", request.scope) and (about.here or about.stays):
                raise InvalidRequest("a gateway answers that itself")
            return None
        if about.here:
            return None
        if about.stays:
            raise Conflict(
                "this gateway follows another server, which that would concern",
                hint="end this one with `podium down` on its home; the main server likewise, on its own",
            )
        answer = await beside.pass_on(request, parts=about.parts, streams_in=about.takes is not None)
        if about.about_tokens:
            # The next request may come with what this one has made; the log tells of it a moment later.
            await api.tokens.refresh()
        return answer

    return before
