"""A model server that remembers who asked: passes requests on, and keeps what each one was logged in with."""

from __future__ import annotations

import http.client
import http.server
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

PASSED_ON = ("content-type", "x-claude-code-session-id")


class Heard:
    """`keys`: the key or token of every request for an answer of the model, in order. `judge` may refuse
    one with a status."""

    def __init__(self, judge: Callable[[str], int] | None = None) -> None:
        self.url = ""
        self.keys: list[str] = []
        self._judge = judge or (lambda key: 200)

    def take(self, headers: http.client.HTTPMessage) -> int:
        key = headers.get("x-api-key") or headers.get("authorization", "").removeprefix("Bearer ")
        self.keys.append(key)
        return self._judge(key)


@contextmanager
def hearing(model_url: str, judge: Callable[[str], int] | None = None) -> Iterator[Heard]:
    heard = Heard(judge)
    behind = urlsplit(model_url).netloc

    class PassOn(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            status = heard.take(self.headers)
            if status != 200:
                return self._answer(status, "application/json", b'{"type":"error","error":{"type":"x"}}')
            connection = http.client.HTTPConnection(behind)
            kept = {name: self.headers[name] for name in PASSED_ON if name in self.headers}
            connection.request("POST", self.path, body, kept)
            answer = connection.getresponse()
            return self._answer(answer.status, answer.headers["content-type"], answer.read())

        def _answer(self, status: int, kind: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), PassOn) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        heard.url = f"http://127.0.0.1:{server.server_port}"
        try:
            yield heard
        finally:
            server.shutdown()
