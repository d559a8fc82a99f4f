"""Following goes on when the server is away for a moment, also between what was and what comes."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import ClassVar

import pytest

from podium.cli.follow import print_transcript
from podium.client.api import Client
from podium.client.home import Target
from podium.kernel.errors import Unavailable

TASK = "task_" + "0" * 26


def event(seq: int, kind: str) -> dict[str, object]:
    return {"seq": seq, "event": {"type": kind, "task_id": TASK}}


def page(*events: dict[str, object], cursor: str) -> tuple[int, str]:
    return 200, json.dumps({"events": events, "cursor": cursor})


AWAY = (503, json.dumps({"error": {"code": "unavailable", "message": "it ends"}}))
DONE = (200, f"id: c2\ndata: {json.dumps(event(2, 'task.done'))}\n\n")


class Scripted(BaseHTTPRequestHandler):
    """A server that answers one after the other, whatever it is asked."""

    answers: ClassVar[list[tuple[int, str]]] = []
    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.asked.append(self.path.partition("?")[0].removeprefix("/api/v1"))
        status, body = self.answers.pop(0)
        self.send_response(status)
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: object) -> None:
        pass


def followed(*answers: tuple[int, str]) -> list[str]:
    """What was asked until following ended."""
    Scripted.answers[:], Scripted.asked[:] = answers, []
    with HTTPServer(("127.0.0.1", 0), Scripted) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        try:
            client = Client(Target(url=f"http://127.0.0.1:{server.server_port}", token="t"))
            print_transcript(client, TASK, follow=True, as_json=True)
            return Scripted.asked
        finally:
            server.shutdown()
            serving.join()


def test_a_server_that_goes_after_the_first_page_is_waited_for(capsys):
    """Once: `logs -f` ended with an error when the server went in that moment."""
    asked = followed(page(event(1, "run.said"), cursor="c1"), AWAY, AWAY, DONE)
    assert asked == ["/events", "/events", "/events/stream", "/events/stream"]
    assert [json.loads(line)["seq"] for line in capsys.readouterr().out.splitlines()] == [1, 2]


def test_a_server_that_is_not_there_at_first_is_an_error():
    with pytest.raises(Unavailable):
        followed(AWAY)
