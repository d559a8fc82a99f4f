"""The vendor's token endpoint as a test plays it: behind a proxy on loopback that every HTTPS connection of
the CLI goes to, and that holds a certificate of an authority made for the test."""

from __future__ import annotations

import json
import socket
import socketserver
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

HOSTS = ("platform.claude.com", "console.anthropic.com", "api.anthropic.com")
Answer = tuple[int, dict[str, Any]]


class Vendor:
    """`asked`: (host, method and path, JSON body) of every request, in order."""

    def __init__(self, folder: Path, answer: Callable[[str, Any], Answer]) -> None:
        self.asked: list[tuple[str, str, Any]] = []
        self.authority = folder / "authority.pem"
        self.url = ""
        self._context = _certified(folder)
        self._answer = answer

    @property
    def environ(self) -> dict[str, str]:
        return {"HTTPS_PROXY": self.url, "NODE_EXTRA_CA_CERTS": str(self.authority)}

    def serve(self, connection: socket.socket) -> None:
        """One tunnel: whatever host it leads to, the vendor is here."""
        host = _head(connection)[0].split(" ")[1].partition(":")[0]
        connection.sendall(b"HTTP/1.1 200 Connected\r\n\r\n")
        if host not in HOSTS:
            return
        with self._context.wrap_socket(connection, server_side=True) as secret:
            first, *lines = _head(secret)
            sizes = [line.partition(":")[2] for line in lines if line.lower().startswith("content-length:")]
            body = _exactly(secret, int(sizes[0]) if sizes else 0)
            what = first.rpartition(" ")[0]
            self.asked.append((host, what, json.loads(body) if body else None))
            status, told = self._answer(what, self.asked[-1][2])
            raw = json.dumps(told).encode()
            head = f"HTTP/1.1 {status} Scripted\r\ncontent-type: application/json\r\nconnection: close\r\n"
            secret.sendall(f"{head}content-length: {len(raw)}\r\n\r\n".encode() + raw)


@contextmanager
def vendor(folder: Path, answer: Callable[[str, Any], Answer]) -> Iterator[Vendor]:
    made = Vendor(folder, answer)

    class Tunnel(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with suppress(OSError, EOFError):
                made.serve(self.request)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Tunnel) as server:
        made.url = f"http://127.0.0.1:{server.server_address[1]}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield made
        finally:
            server.shutdown()


def _head(connection: socket.socket) -> list[str]:
    """The lines of a request's head."""
    raw = b""
    while not raw.endswith(b"\r\n\r\n"):
        raw += _exactly(connection, 1)
    return raw.decode("latin-1").strip().split("\r\n")


def _exactly(connection: socket.socket, size: int) -> bytes:
    raw = b""
    while len(raw) < size:
        piece = connection.recv(size - len(raw))
        if not piece:
            raise EOFError
        raw += piece
    return raw


def _certified(folder: Path) -> ssl.SSLContext:
    """An authority, and a certificate of it for the vendor's hosts."""
    names = ",".join(f"DNS:{host}" for host in HOSTS)
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=test"]
    files = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "authority.pem")]
    subprocess.run([*made, *files, "-addext", f"subjectAltName={names}"], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "authority.pem", folder / "key.pem")
    return context
