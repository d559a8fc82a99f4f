"""Requests of agent programs, answered from scripts."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

from podium.testing.model_server import anthropic, responses
from podium.testing.model_server.conversation import Place, place_of
from podium.testing.model_server.http import Answer, Malformed, Request, read_request
from podium.testing.model_server.script import BadScript, Failure, Script, Turn, load, parse

HOST = "127.0.0.1"
MODELS = ("claude-opus-5-5", "claude-sonnet-5-5", "claude-haiku-5-5")
OPENAI_MODELS = ("gpt-5.5",)
HEAD_LIMIT_BYTES = 256 * 1024
SESSION_HEADERS = ("x-claude-code-session-id", "session-id", "session_id", "thread-id", "conversation_id")
"""How agents say which conversation a request belongs to; the first one that is there."""


class Dialect(Protocol):
    """An API: what a request says, and how a turn is said in it."""

    def messages_of(self, body: dict[str, Any]) -> Any: ...
    def offers_tools(self, body: dict[str, Any]) -> bool: ...
    def message(self, turn: Turn, place: Place, request: dict[str, Any]) -> dict[str, Any]: ...
    def events(self, whole: dict[str, Any]) -> Iterator[dict[str, Any]]: ...
    def error(self, status: int, text: str, more: dict[str, Any] | None = None) -> dict[str, Any]: ...
    def failed(self, status: int, text: str, more: dict[str, Any]) -> dict[str, Any]: ...


ANTHROPIC: Dialect = anthropic
RESPONSES: Dialect = responses


class ModelServer:
    """Listens on loopback. Remembers nothing but how often each turn with `fail.times` has failed."""

    def __init__(self, scripts: Path | None = None, log: Path | None = None) -> None:
        self._scripts = scripts
        self._log = log
        self._failed: Counter[tuple[str, Place]] = Counter()

    @asynccontextmanager
    async def listening(self, port: int = 0) -> AsyncIterator[str]:
        """The URL while it listens; at the end every connection is closed, hanging ones too."""
        server = await asyncio.start_server(self._connection, HOST, port, limit=HEAD_LIMIT_BYTES)
        try:
            yield f"http://{HOST}:{server.sockets[0].getsockname()[1]}"
        finally:
            server.close()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = await read_request(reader)
            if request is not None:
                await self._answer(request, reader, Answer(writer))
        except Malformed as error:
            await Answer(writer).plain(400, anthropic.error(400, str(error)))
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the agent is gone; there is nobody to tell
        except asyncio.CancelledError:
            # We are stopping. This is the whole task, and asyncio reports a cancelled one as a fault.
            pass
        finally:
            writer.close()

    async def _answer(self, request: Request, reader: asyncio.StreamReader, answer: Answer) -> None:
        match request.method, request.path:
            case "POST", "/v1/messages":
                await self._reply(ANTHROPIC, request, reader, answer)
            case "POST", "/v1/responses":
                await self._reply(RESPONSES, request, reader, answer)
            case "POST", "/v1/messages/count_tokens":
                await answer.plain(200, {"input_tokens": max(1, len(request.body) // 4)})
            case "GET", "/v1/models":
                await answer.plain(200, _models())
            case _:
                await answer.plain(404, anthropic.error(404, f"no {request.method} {request.path} here"))

    async def _reply(
        self, dialect: Dialect, request: Request, reader: asyncio.StreamReader, answer: Answer
    ) -> None:
        try:
            body = json.loads(request.body)
            if not isinstance(body, dict):
                raise ValueError("no object")
        except (ValueError, RecursionError):
            await answer.plain(400, dialect.error(400, "the body is no JSON object"))
            return
        session = next((request.headers[name] for name in SESSION_HEADERS if name in request.headers), "")
        try:
            place, turn = self._turn(dialect, body)
            whole = dialect.message(turn, place, body)
        except BadScript as error:
            await answer.plain(400, dialect.error(400, str(error)))
            return
        self._note(place, session, dialect.offers_tools(body))
        await asyncio.sleep(turn.delay_ms / 1000)
        if turn.hang:
            await reader.read()  # ends when the agent closes its end
        elif turn.fail is not None and self._fails(turn, session, place):
            await _fail(dialect, turn.fail, answer, stream=body.get("stream") is True)
        elif body.get("stream") is True:
            await _stream(dialect, whole, turn, answer)
        else:
            await answer.plain(200, whole)

    def _turn(self, dialect: Dialect, body: dict[str, Any]) -> tuple[Place, Turn]:
        """The place in the script and what is said there. Raises BadScript."""
        place, tools = place_of(dialect.messages_of(body)), dialect.offers_tools(body)
        if place is None:
            if not tools:
                return Place(turn=0), Turn(say=Script(turns=()).side)
            raise BadScript("no message names a script: put [[model:NAME]] or a ```model block in the prompt")
        script = parse(place.inline) if place.inline else load(self._scripts, place.name)
        if not tools:
            return place, Turn(say=script.side)
        return place, script.turns[place.turn] if place.turn < len(script.turns) else Turn(say=script.over)

    def _fails(self, turn: Turn, session: str, place: Place) -> bool:
        if turn.fail is None or turn.fail.times is None:
            return True
        self._failed[session, place] += 1
        return self._failed[session, place] <= turn.fail.times

    def _note(self, place: Place, session: str, tools: bool) -> None:
        if self._log is None:
            return
        line = {"script": place.name, "turn": place.turn, "session": session, "tools": tools}
        with self._log.open("a") as file:
            file.write(json.dumps(line) + "\n")


def _models() -> dict[str, Any]:
    """The list in the words of both APIs."""
    data = [{"type": "model", "id": name, "display_name": name} for name in MODELS]
    data += [{"type": "model", "object": "model", "id": name, "owned_by": "openai"} for name in OPENAI_MODELS]
    return {"object": "list", "data": data, "has_more": False}


async def _fail(dialect: Dialect, failure: Failure, answer: Answer, *, stream: bool) -> None:
    if failure.in_stream and stream:
        await answer.begin_stream()
        await answer.event(dialect.failed(failure.status, failure.message, failure.error))
        await answer.end_stream()
        return
    body = dialect.error(failure.status, failure.message, failure.error)
    await answer.plain(failure.status, body, failure.headers)


async def _stream(dialect: Dialect, whole: dict[str, Any], turn: Turn, answer: Answer) -> None:
    await answer.begin_stream()
    for number, event in enumerate(dialect.events(whole)):
        if turn.cut_after is not None and number >= turn.cut_after:
            return  # without the closing chunk: a cut, not an end
        await answer.event(event)
        await asyncio.sleep(turn.event_delay_ms / 1000)
    await answer.end_stream()
