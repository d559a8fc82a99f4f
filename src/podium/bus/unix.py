"""The bus over a Unix socket: a worker in its own process on the same machine.

A frame is a length (4 bytes), a kind (1 byte: request or answer), a number (8 bytes) and the message. Both
sides ask and answer over the one connection. The socket file is 0600: who may open it is who may be a worker.
"""

from __future__ import annotations

import asyncio
import logging
import os
import struct
from collections.abc import Awaitable, Callable
from pathlib import Path

import anyio
import anyio.abc
import msgspec

from podium.bus import messages as m
from podium.bus.base import MAX_MESSAGE_BYTES, Departure, ServerHandler, WorkerHandler
from podium.kernel.errors import PodiumError, Timeout, Unavailable, WorkerUnreachable
from podium.kernel.ids import WorkerId

log = logging.getLogger("podium.bus")
_HEAD = struct.Struct("!IBQ")
_REQUEST, _ANSWER = 0, 1
FIRST_PAUSE_S = 0.02
MAX_PAUSE_S = 2.0
Handler = Callable[[m.Message], Awaitable[m.Answer]]


class Peer:
    """One connection, seen from either side."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, handler: Handler) -> None:
        self._reader = reader
        self._writer = writer
        self._handler = handler
        self._pending: dict[int, asyncio.Future[m.Answer]] = {}
        self._number = 0
        self._open = True

    async def run(self) -> None:
        """Read until the connection ends; requests are answered concurrently. Pending questions then fail."""
        try:
            async with anyio.create_task_group() as tasks:
                while True:
                    head = await self._reader.readexactly(_HEAD.size)
                    size, kind, number = _HEAD.unpack(head)
                    if size > MAX_MESSAGE_BYTES:
                        log.error("a message of %d bytes was refused; the connection is closed", size)
                        break
                    message = m.decode(await self._reader.readexactly(size))
                    if kind == _REQUEST:
                        tasks.start_soon(self._reply, number, message)
                    elif (waiter := self._pending.pop(number, None)) is not None and not waiter.done():
                        waiter.set_result(message)  # type: ignore[arg-type]
                tasks.cancel_scope.cancel()
        except* (asyncio.IncompleteReadError, ConnectionError, msgspec.MsgspecError) as ended:
            log.debug("connection ended: %s", ended.exceptions[0])
        finally:
            self.close()

    async def ask(self, message: m.Message, timeout_s: float) -> m.Answer:
        """Raises ConnectionError when the connection is or goes down, TimeoutError."""
        if not self._open:
            raise ConnectionError("closed")
        self._number += 1
        number = self._number
        waiter: asyncio.Future[m.Answer] = asyncio.get_running_loop().create_future()
        self._pending[number] = waiter
        try:
            async with asyncio.timeout(timeout_s):
                await self._send(_REQUEST, number, m.encode(message))
                return await waiter
        finally:
            self._pending.pop(number, None)

    def close(self) -> None:
        if self._open:
            self._open = False
            self._writer.close()
            for waiter in self._pending.values():
                if not waiter.done():
                    waiter.set_exception(ConnectionError("closed"))

    async def _reply(self, number: int, message: m.Message) -> None:
        try:
            answer = await self._handler(message)
        except PodiumError as error:
            answer = m.failure_of(error)
        except Exception:
            log.exception("answering %s failed; this is a bug of ours", type(message).__name__)
            answer = m.Failure(code="internal", message="the request failed", retry=True)
        try:
            await self._send(_ANSWER, number, m.encode(answer))
        except (ConnectionError, OSError):
            log.debug("an answer found no connection any more")

    async def _send(self, kind: int, number: int, body: bytes) -> None:
        self._writer.write(_HEAD.pack(len(body), kind, number) + body)
        await self._writer.drain()


class UnixServer:
    """The server's end: listens on `path`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._peers: dict[WorkerId, Peer] = {}
        self._handler: ServerHandler | None = None
        self._departed: Departure | None = None

    async def serve(self, handler: ServerHandler, departed: Departure) -> None:
        self._handler, self._departed = handler, departed
        self._path.unlink(missing_ok=True)
        before = os.umask(0o177)
        try:
            server = await asyncio.start_unix_server(self._connected, path=str(self._path))
        finally:
            os.umask(before)
        try:
            await anyio.sleep_forever()
        finally:
            server.close()
            for peer in list(self._peers.values()):
                peer.close()

    async def ask(self, worker: WorkerId, message: m.ToWorker, *, timeout_s: float = 5.0) -> m.Answer:
        peer = self._peers.get(worker)
        if peer is None:
            raise WorkerUnreachable(f"{worker} is not connected")
        try:
            return await peer.ask(message, timeout_s)
        except TimeoutError as error:
            raise WorkerUnreachable(f"{worker} did not answer within {timeout_s:g} s") from error
        except (ConnectionError, OSError) as error:
            raise WorkerUnreachable(f"the connection of {worker} went down") from error

    def connected(self) -> frozenset[WorkerId]:
        return frozenset(self._peers)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        mine: list[WorkerId] = []

        async def handle(message: m.Message) -> m.Answer:
            if self._handler is None or not isinstance(message, m.ToServer):
                return m.Failure(code="invalid_request", message="that is no message to a server")
            if isinstance(message, m.Hello):
                mine[:] = [message.worker_id]
                earlier = self._peers.get(message.worker_id)
                self._peers[message.worker_id] = peer
                if earlier is not None and earlier is not peer:
                    earlier.close()
            return await self._handler(message)

        peer = Peer(reader, writer, handle)
        await peer.run()
        for worker in mine:
            if self._peers.get(worker) is peer:
                del self._peers[worker]
                if self._departed is not None:
                    self._departed(worker)


class UnixWorker:
    """A worker's end."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._peer: Peer | None = None

    async def run(self, handler: WorkerHandler, on_connect: Callable[[], Awaitable[None]]) -> None:
        pause = FIRST_PAUSE_S
        while True:
            try:
                reader, writer = await asyncio.open_unix_connection(str(self._path))
            except OSError:
                # The server is down; agents go on. The pause grows so that a long absence costs nothing.
                await anyio.sleep(pause)
                pause = min(pause * 2, MAX_PAUSE_S)
                continue
            if await self._converse(Peer(reader, writer, _for_worker(handler)), on_connect):
                pause = FIRST_PAUSE_S
            else:
                await anyio.sleep(pause)
                pause = min(pause * 2, MAX_PAUSE_S)

    async def ask(self, message: m.ToServer, *, timeout_s: float = 15.0) -> m.Answer:
        if self._peer is None:
            raise Unavailable("the server is not connected")
        try:
            return await self._peer.ask(message, timeout_s)
        except TimeoutError as error:
            raise Timeout(f"no answer within {timeout_s:g} s") from error
        except (ConnectionError, OSError) as error:
            raise Unavailable("the connection to the server went down", sent=True) from error

    async def _converse(self, peer: Peer, on_connect: Callable[[], Awaitable[None]]) -> bool:
        """Until the connection ends; whether the server had taken us."""
        self._peer = peer
        taken: list[bool] = []
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._introduce, peer, on_connect, taken)
                await peer.run()
                tasks.cancel_scope.cancel()
        finally:
            self._peer = None
            peer.close()
        return bool(taken)

    async def _introduce(
        self, peer: Peer, on_connect: Callable[[], Awaitable[None]], taken: list[bool]
    ) -> None:
        try:
            await on_connect()
            taken.append(True)
        except PodiumError as error:
            log.warning("the server did not take us: %s", error.message)
            peer.close()


def _for_worker(handler: WorkerHandler) -> Handler:
    async def handle(message: m.Message) -> m.Answer:
        if not isinstance(message, m.ToWorker):
            return m.Failure(code="invalid_request", message="that is no message to a worker")
        return await handler(message)

    return handle
