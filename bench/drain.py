"""`python -m bench.drain PORT CLIENTS`: connections that take whatever comes, until killed."""

from __future__ import annotations

import selectors
import socket
import sys


def drain(port: int, clients: int) -> None:
    selector = selectors.DefaultSelector()
    for _ in range(clients):
        selector.register(socket.create_connection(("127.0.0.1", port)), selectors.EVENT_READ)
    print("draining", flush=True)
    while True:
        for key, _ in selector.select():
            one = key.fileobj
            assert isinstance(one, socket.socket)
            if not one.recv(1 << 18):
                selector.unregister(one)


if __name__ == "__main__":
    drain(int(sys.argv[1]), int(sys.argv[2]))
