"""Requests of agent programs, answered from scripts."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from podium.testing.model_server import anthropic
from podium.testing.model_server.conversation import Place, place_of
from podium.testing.model_server.http import Answer, Malformed, Request, read_request
from podium.testing.model_server.script import BadScript, Script, Turn, load, parse

HOST = "127.0.0.1"
MODELS = ("claude-opus-5-5", "claude-sonnet-5-5", "claude-haiku-5-5")
HEAD_LIMIT_BYTES = 256 * 1024


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
                await self._messages(request, reader, answer)
            case "POST", "/v1/messages/count_tokens":
                await answer.plain(200, {"input_tokens": max(1, len(request.body) // 4)})
            case "GET", "/v1/models":
                data = [{"type": "model", "id": name, "display_name": name} for name in MODELS]
                await answer.plain(200, {"data": data, "has_more": False})
            case _:
                await answer.plain(404, anthropic.error(404, f"no {request.method} {request.path} here"))

    async def _messages(self, request: Request, reader: asyncio.StreamReader, answer: Answer) -> None:
        try:
            body = json.loads(request.body)
            if not isinstance(body, dict):
                raise ValueError("no object")
        except (ValueError, RecursionError):
            await answer.plain(400, anthropic.error(400, "the body is no JSON object"))
            return
        session = request.headers.get("x-claude-code-session-id", "")
        try:
            place, turn = self._turn(body)
            whole = anthropic.message(turn, place, body)
        except BadScript as error:
            await answer.plain(400, anthropic.error(400, str(error)))
            return
        self._note(place, session, body)
        await asyncio.sleep(turn.delay_ms / 1000)
        if turn.hang:
            await reader.read()  # ends when the agent closes its end
        elif turn.fail is not None and self._fails(turn, session, place):
            failure = turn.fail
            await answer.plain(
                failure.status, anthropic.error(failure.status, failure.message), failure.headers
            )
        elif body.get("stream") is True:
            await _stream(whole, turn, answer)
        else:
            await answer.plain(200, whole)

    def _turn(self, body: dict[str, Any]) -> tuple[Place, Turn]:
        """The place in the script and what is said there. Raises BadScript."""
        place = place_of(body.get("messages"))
        if place is None:
            if not body.get("tools"):
                return Place(turn=0), Turn(say=Script(turns=()).side)
            raise BadScript("no message names a script: put [[model:NAME]] or a ```model block in the prompt")
        script = parse(place.inline) if place.inline else load(self._scripts, place.name)
        if not body.get("tools"):
            return place, Turn(say=script.side)
        return place, script.turns[place.turn] if place.turn < len(script.turns) else Turn(say=script.over)

    def _fails(self, turn: Turn, session: str, place: Place) -> bool:
        if turn.fail is None or turn.fail.times is None:
            return True
        self._failed[session, place] += 1
        return self._failed[session, place] <= turn.fail.times

    def _note(self, place: Place, session: str, body: dict[str, Any]) -> None:
        if self._log is None:
            return
        line = {
            "script": place.name,
            "turn": place.turn,
            "session": session,
            "tools": bool(body.get("tools")),
        }
        with self._log.open("a") as file:
            file.write(json.dumps(line) + "\n")


async def _stream(whole: dict[str, Any], turn: Turn, answer: Answer) -> None:
    await answer.begin_stream()
    for number, event in enumerate(anthropic.events(whole)):
        if turn.cut_after is not None and number >= turn.cut_after:
            return  # without the closing chunk: a cut, not an end
        await answer.event(event)
        await asyncio.sleep(turn.event_delay_ms / 1000)
    await answer.end_stream()
