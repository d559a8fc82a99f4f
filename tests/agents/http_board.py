"""A server of one tool over HTTP, as little as the protocol allows; it remembers who called what."""

from __future__ import annotations

import contextlib
import http.server
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.agents.mcp_server import answer


@dataclass
class Board:
    url: str
    headers: list[dict[str, str]] = field(default_factory=list)
    """Of every request, names in small letters."""
    calls: list[dict[str, Any]] = field(default_factory=list)
    """Name and arguments of every tool call that was carried out."""


@contextlib.contextmanager
def a_board() -> Iterator[Board]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            board.headers.append({name.lower(): value for name, value in self.headers.items()})
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
            if asked.get("method") == "tools/call":
                board.calls.append({key: asked["params"].get(key) for key in ("name", "arguments")})
            result = answer(asked["method"], asked.get("params") or {}) if "id" in asked else None
            said = {"jsonrpc": "2.0", "id": asked.get("id"), "result": result}
            self.reply(202 if result is None else 200, b"" if result is None else json.dumps(said).encode())

        def do_GET(self) -> None:
            self.reply(405, b"")

        do_DELETE = do_GET

        def reply(self, status: int, body: bytes) -> None:
            self.send_response(status)
            if body:
                self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        board = Board(url=f"http://127.0.0.1:{server.server_port}/mcp")
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield board
        finally:
            server.shutdown()
