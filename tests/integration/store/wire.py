"""A line to the database that breaks where a test wants it to: around one COMMIT."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from pathlib import Path

COMMIT = b"COMMIT\0"
EVENTS = b"INSERT INTO events"
"""In what a connection sends while it is young: later the statement has a name."""


class Wire:
    """A Unix socket in `folder` in front of the one in `behind`. `cut` the line: at the next COMMIT, before
    it reaches the database or after it was carried out; in both cases its answer never comes."""

    NAME = ".s.PGSQL.5432"

    def __init__(self, behind: Path, folder: Path) -> None:
        self._behind = behind / self.NAME
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(folder / self.NAME))
        self._listening.listen()
        self._armed: list[str] = []
        self.cuts = 0
        self._threads: list[threading.Thread] = []
        self._accepting = threading.Thread(target=self._accept)
        self._accepting.start()

    def cut(self, *whens: str) -> None:
        """`before` or `after` the database has the next COMMIT of events; then the one after it."""
        self._armed = list(whens)

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._accepting.join()
        self._listening.close()
        for thread in self._threads:
            thread.join(10)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._carry, args=(client,))
            thread.start()
            self._threads.append(thread)

    def _carry(self, client: socket.socket) -> None:
        with client, socket.socket(socket.AF_UNIX) as server, contextlib.suppress(OSError):
            server.connect(str(self._behind))
            sent = b""
            while True:
                ready, _, _ = select.select([client, server], [], [])
                for end in ready:
                    data = end.recv(65536)
                    if not data:
                        return
                    if end is client:
                        sent += data
                    if end is client and COMMIT in data:
                        of_events, sent = EVENTS in sent, b""
                        if not (of_events and self._armed):
                            server.sendall(data)
                            continue
                        when = self._armed.pop(0)
                        self.cuts += 1
                        if when == "after":
                            server.sendall(data)
                            server.recv(65536)
                        return
                    (server if end is client else client).sendall(data)
