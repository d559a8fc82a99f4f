"""A client as thin as can be: raw sockets, so that what is measured is the server."""

from __future__ import annotations

import json
import os
import socket
import struct
from pathlib import Path
from typing import Any, NamedTuple

TIMEOUT_S = 30.0
FINAL_BINARY, PING = 0x82, 9


class Address(NamedTuple):
    host: str
    port: int
    token: str

    @classmethod
    def of(cls, home: Path) -> Address:
        """Of the server that has this home."""
        url = json.loads((home / "server.json").read_text())["url"]
        host, _, port = url.removeprefix("http://").rpartition(":")
        return cls(host, int(port), (home / "owner.token").read_text().strip())

    def connect(self) -> socket.socket:
        made = socket.create_connection((self.host, self.port), timeout=TIMEOUT_S)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return made

    def request(self, method: str, path: str, body: bytes = b"") -> bytes:
        """The bytes of one request; `path` as below the API's root."""
        head = (
            f"{method} /api/v1{path} HTTP/1.1\r\nHost: {self.host}:{self.port}\r\n"
            f"Authorization: Bearer {self.token}\r\n"
        )
        if body:
            head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        return head.encode() + b"\r\n" + body


class Http:
    """One kept-alive connection, one request at a time."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._socket = address.connect()
        self._rest = b""

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """The JSON answer. Raises RuntimeError for an error answer."""
        raw = b"" if body is None else json.dumps(body).encode()
        self._socket.sendall(self._address.request(method, path, raw))
        status, content = self._answer()
        if status >= 400:
            raise RuntimeError(f"{method} {path}: {status} {content[:300]!r}")
        return json.loads(content) if content else None

    def close(self) -> None:
        self._socket.close()

    def _answer(self) -> tuple[int, bytes]:
        while b"\r\n\r\n" not in self._rest:
            self._more()
        head, self._rest = self._rest.split(b"\r\n\r\n", 1)
        length = length_of(head)
        while len(self._rest) < length:
            self._more()
        content, self._rest = self._rest[:length], self._rest[length:]
        return int(head[9:12]), content

    def _more(self) -> None:
        got = self._socket.recv(262_144)
        if not got:
            raise ConnectionResetError("the server closed the connection")
        self._rest += got


def length_of(head: bytes) -> int:
    """Content-Length of an answer's head; 0 without one."""
    _, found, after = head.lower().partition(b"content-length:")
    return int(after.split(b"\r\n", 1)[0]) if found else 0


class Following:
    """One WebSocket that gets everything from now on. `texts()` waits for the next frames."""

    def __init__(self, address: Address) -> None:
        self.socket = address.connect()
        head = (
            f"GET /api/v1/stream HTTP/1.1\r\nHost: {address.host}:{address.port}\r\n"
            f"Authorization: Bearer {address.token}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        )
        self.socket.sendall(head.encode())
        self._rest = b""
        while b"\r\n\r\n" not in self._rest:
            self._rest += self.socket.recv(65_536)
        answer, self._rest = self._rest.split(b"\r\n\r\n", 1)
        if b" 101 " not in answer.split(b"\r\n", 1)[0]:
            raise RuntimeError(f"no WebSocket: {answer[:200]!r}")
        self.socket.sendall(_masked(0x81, b'{"topics":["events"]}'))
        while not self.texts():  # the first frame says from where
            pass

    def texts(self) -> list[bytes]:
        """The whole frames that came with one read; pings are answered. Raises TimeoutError."""
        got = self.socket.recv(1 << 20)
        if not got:
            raise ConnectionResetError("the stream ended")
        self._rest += got
        found = []
        while (frame := self._frame()) is not None:
            code, payload = frame
            if code == PING:
                self.socket.sendall(_masked(0x8A, payload))
            elif payload:
                found.append(payload)
        return found

    def _frame(self) -> tuple[int, bytes] | None:
        data = self._rest
        if len(data) < 2:
            return None
        size, start = data[1] & 0x7F, 2
        if size == 126:
            size, start = (struct.unpack_from("!H", data, 2)[0], 4) if len(data) >= 4 else (1 << 62, 4)
        elif size == 127:
            size, start = (struct.unpack_from("!Q", data, 2)[0], 10) if len(data) >= 10 else (1 << 62, 10)
        if len(data) < start + size:
            return None
        self._rest = data[start + size :]
        return data[0] & 0x0F, data[start : start + size]


def _masked(first: int, payload: bytes) -> bytes:
    mask = os.urandom(4)
    body = bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))
    return bytes((first, 0x80 | len(payload))) + mask + body
