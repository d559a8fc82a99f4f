"""`python -m bench.load HOST PORT TOKEN SECONDS CLIENTS METHOD PATH [BODY]`: as fast as the answers come.

Prints answers a second and their latency in ms. Any answer but a success ends it.
"""

from __future__ import annotations

import json
import selectors
import socket
import sys
import time

from bench.figure import percentile
from bench.wire import Address, length_of


class Client:
    """One connection that asks the same again as soon as it is answered."""

    def __init__(self, address: Address, request: bytes) -> None:
        self.socket: socket.socket = address.connect()
        self._request = request
        self._got = b""
        self._sent = 0.0
        self.taken: list[float] = []

    def ask(self) -> None:
        self._sent = time.monotonic()
        self.socket.sendall(self._request)

    def read(self) -> None:
        """Take what is there; when the answer is whole, ask again."""
        got = self.socket.recv(1 << 18)
        if not got:
            raise ConnectionResetError("the server closed the connection")
        self._got += got
        head, found, content = self._got.partition(b"\r\n\r\n")
        if not found or len(content) < length_of(head):
            return
        if head[9:10] != b"2":
            raise RuntimeError(self._got[:500].decode("utf-8", "replace"))
        self.taken.append(1000 * (time.monotonic() - self._sent))
        self._got = b""
        self.ask()


def load(address: Address, request: bytes, seconds: float, count: int) -> dict[str, float]:
    clients = [Client(address, request) for _ in range(count)]
    selector = selectors.DefaultSelector()
    for client in clients:
        selector.register(client.socket, selectors.EVENT_READ, client)
        client.ask()
    began = time.monotonic()
    while time.monotonic() - began < seconds:
        for key, _ in selector.select(1.0):
            key.data.read()
    passed = time.monotonic() - began
    taken = [value for client in clients for value in client.taken]
    return {"per_s": len(taken) / passed, "p50": percentile(taken, 0.5), "p95": percentile(taken, 0.95)}


def main(words: list[str]) -> dict[str, float]:
    host, port, token, seconds, clients, method, path, *body = words
    address = Address(host, int(port), token)
    request = address.request(method, path, body[0].encode() if body else b"")
    return load(address, request, float(seconds), int(clients))


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1:])))
