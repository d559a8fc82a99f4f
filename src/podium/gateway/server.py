"""uvicorn, bent to our needs: bounded heads, streams ended before waiting, exit 0, the port known first."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import resource
import signal
import socket
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

import anyio
import anyio.abc
import httptools
import uvicorn
from msgspec import Struct
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from podium.gateway.app import Gateway
from podium.gateway.errors import envelope
from podium.gateway.exposure import Exposure, check_address
from podium.gateway.sockets import DirectProtocol
from podium.kernel.errors import Conflict, InvalidRequest

DEFAULT_PORT = 4180
LOCAL_ONLY = Exposure()
PORTS_TRIED = 100
MAX_HEAD_BYTES = 64 * 1024
HEAD_S = 10.0
"""From the connection, or the first byte of a further request, to the end of its head."""
KEEP_ALIVE_S = 30
DISCARD_S = 20.0
MAX_DISCARDED_BYTES = 128 * 1024 * 1024
"""Of a body that was refused: read on, so that a client that sends first and listens then gets its answer."""
GRACE_S = 3
"""Net for requests that do not end by themselves when the server stops."""
MAX_CONNECTIONS = 2_000
MAX_SOCKET_MESSAGE_BYTES = 64 * 1024
BACKLOG = 512
SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Listening(Struct, frozen=True, kw_only=True):
    """A bound address. The kernel already queues connections to it; a server answers them."""

    socket: socket.socket
    host: str
    port: int
    scheme: str = "http"

    @property
    def url(self) -> str:
        """For this machine: of an address that stands for all, its loopback."""
        own = {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104
        return f"{self.scheme}://{f'[{own}]' if ':' in own else own}:{self.port}"


def listen(host: str = "127.0.0.1", port: int | None = None, exposure: Exposure = LOCAL_ONLY) -> Listening:
    """Bind. Without a port: 4180, or the next free one; with one, that (0: any).

    Raises Conflict when the port is in use, InvalidRequest for an address on which tokens would travel a
    network without being encrypted.
    """
    check_address(host, exposure)
    ports = range(DEFAULT_PORT, DEFAULT_PORT + PORTS_TRIED) if port is None else (port,)
    for candidate in ports:
        try:
            bound = _bind(host, candidate)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                continue
            raise InvalidRequest(f"{host}:{candidate} cannot be bound: {error.strerror}") from error
        return Listening(socket=bound, host=host, port=bound.getsockname()[1], scheme=exposure.scheme)
    taken = f"port {port} is in use" if port is not None else f"ports {ports[0]} to {ports[-1]} are in use"
    raise Conflict(taken, hint="choose another with --port, or see who has it: podium status")


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # The protocol must be named: asyncio switches Nagle off only on sockets that say they are TCP, and
    # with it on every second small answer waits 40 ms for an acknowledgement.
    made = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((host, port))
        made.listen(BACKLOG)
        made.setblocking(False)
    except OSError:
        made.close()
        raise
    return made


def connection_limit() -> int:
    """Half of the files this process may open, so that the store and the agents keep theirs."""
    soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MAX_CONNECTIONS if soft == resource.RLIM_INFINITY else min(MAX_CONNECTIONS, soft // 2)


class BoundedProtocol(HttpToolsProtocol):
    """The parser itself limits neither the size of a head nor its time (measured: 100 MB were taken)."""

    _head_bytes = 0
    _head_timer: asyncio.TimerHandle | None = None
    _in_head = True
    _discarded = 0
    _discard_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        # Whatever handlers the process has: addresses hold ids and, by mistake, secrets.
        self.access_log = False
        if len(self.connections) > connection_limit():
            # Whoever has asked nothing yet makes room, the oldest first: idle strangers shut nobody out.
            oldest = next(iter(self._silent()), self)
            oldest.transport.abort()
            if oldest is self:
                return
            self._silent().pop(oldest, None)
        self._silent()[self] = None
        self._expect_head()

    def _silent(self) -> dict[BoundedProtocol, None]:
        """Connections of this server that have not asked anything yet, oldest first."""
        shared: dict[BoundedProtocol, None] = self.server_state.__dict__.setdefault("silent", {})
        return shared

    def connection_lost(self, exc: Exception | None) -> None:
        self._silent().pop(self, None)
        self._head_is_over()
        self._discarding_is_over()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._in_head:
            if self._head_timer is None:
                self._expect_head()
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES and not self._ends_in(data):
                self.transport.abort()
                return
        super().data_received(data)

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._head_is_over()
        self._silent().pop(self, None)
        if not self.url.startswith(b"/"):
            # A whole address as target names a second host beside the Host header: which one counts?
            raise httptools.HttpParserInvalidURLError
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        if self._discard_timer is not None:
            self._discarded += len(body)
            if self._discarded > MAX_DISCARDED_BYTES:
                self.transport.abort()
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._in_head, self._head_bytes = True, 0
        self._discarding_is_over()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        if not self._in_head and not self.transport.is_closing():
            self._discard_timer = self.loop.call_later(DISCARD_S, self._is_late)
        super().on_response_complete()

    def send_400_response(self, msg: str) -> None:
        body = envelope(InvalidRequest("that is not HTTP as this server speaks it"))
        head = (
            b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\n"
            b"x-content-type-options: nosniff\r\n"
            b"content-security-policy: default-src 'none'; frame-ancestors 'none'\r\n"
            b"connection: close\r\ncontent-length: " + str(len(body)).encode() + b"\r\n\r\n"
        )
        self.transport.write(head + body)
        self.transport.close()

    def _ends_in(self, data: bytes) -> bool:
        """Whether the head is over within `data`, so that what made it large is a body."""
        end = data.find(b"\r\n\r\n")
        return end >= 0 and self._head_bytes - len(data) + end <= MAX_HEAD_BYTES

    def _expect_head(self) -> None:
        self._head_timer = self.loop.call_later(HEAD_S, self._is_late)

    def _head_is_over(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _discarding_is_over(self) -> None:
        self._discarded = 0
        if self._discard_timer is not None:
            self._discard_timer.cancel()
            self._discard_timer = None

    def _is_late(self) -> None:
        if not self.transport.is_closing():
            self.transport.abort()


class Server(uvicorn.Server):
    """Serve one gateway on one bound address, in a task group of the caller.

    `run` returns when `stop()` was called or a signal came (`signals=True`, main thread only): streams are
    ended, running requests get `GRACE_S`. It never re-raises the signal, so the process can exit 0.
    """

    def __init__(self, gateway: Gateway, listening: Listening, *, signals: bool = False) -> None:
        super().__init__(_config(gateway))
        self._gateway = gateway
        self._listening = listening
        self._signals = signals
        self._task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED

    async def run(  # type: ignore[override]
        self, *, task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED
    ) -> None:
        """Answers requests from the moment `task_status.started()` is called."""
        self._task_status = task_status
        await self.serve(sockets=[self._listening.socket])

    def stop(self) -> None:
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._task_status.started()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._gateway.stopping()
        await super().shutdown(sockets)
        if self.force_exit:
            # Left out by uvicorn then, and its end would be told as a failure. Ours takes no time.
            await self.lifespan.shutdown()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        if not self._signals or threading.current_thread() is not threading.main_thread():
            yield
            return
        loop = asyncio.get_running_loop()
        for number in SIGNALS:
            loop.add_signal_handler(number, self._on_signal)
        try:
            yield
        finally:
            for number in SIGNALS:
                loop.remove_signal_handler(number)
                # The process is about to end; one more Ctrl-C must not break into that. No SIG_IGN: what is
                # still started would inherit it.
                signal.signal(number, _deaf)

    def _on_signal(self) -> None:
        # A second one does not wait for anybody.
        self.force_exit = self.should_exit
        self.should_exit = True


def _deaf(_number: int, _frame: FrameType | None) -> None:
    """A signal that has been obeyed already."""


class _NoCancelled(logging.Filter):
    """A request that ends because the server ends is no failure of its handler."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not (record.exc_info and isinstance(record.exc_info[1], asyncio.CancelledError))


_QUIET = _NoCancelled()


def _config(gateway: Gateway) -> uvicorn.Config:
    application: Any = gateway
    certificate = gateway.settings.exposure.certificate
    logging.getLogger("uvicorn.error").addFilter(_QUIET)
    return uvicorn.Config(
        application,
        http=BoundedProtocol,
        ws=DirectProtocol,
        ws_max_size=MAX_SOCKET_MESSAGE_BYTES,
        ws_per_message_deflate=False,
        lifespan="on",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=GRACE_S,
        backlog=BACKLOG,
        ssl_certfile=None if certificate is None else certificate.chain,
        ssl_keyfile=None if certificate is None else certificate.key,
    )
