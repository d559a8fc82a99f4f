"""`python -m bench.bare_tail DIR PAUSE_S`: the floor of everything that follows agents.

Reads what grows in DIR/*/out, puts each line as a row into SQLite and sends the committed lines to a client:
nothing is decoded, judged, fenced or kept for anybody else. Prints its port; at the end of stdin its use of
processor time in seconds.
"""

from __future__ import annotations

import os
import socket
import sqlite3
import sys
import threading
import time
from collections.abc import Iterable
from pathlib import Path

import anyio

from podium.process.watch import DirectoryWatch


class Tail:
    """Whole lines of many files, each once."""

    def __init__(self, folder: Path) -> None:
        self._files = {path.parent: os.open(path, os.O_RDONLY) for path in folder.glob("*/out")}
        self._rest = dict.fromkeys(self._files, b"")

    def directories(self) -> Iterable[Path]:
        return self._files

    def read(self, directory: Path) -> list[bytes]:
        *lines, self._rest[directory] = (
            self._rest[directory] + os.read(self._files[directory], 1 << 16)
        ).split(b"\n")
        return lines


def open_log(path: Path) -> sqlite3.Connection:
    log = sqlite3.connect(path, isolation_level=None)
    log.execute("PRAGMA journal_mode=WAL")
    log.execute("PRAGMA synchronous=NORMAL")
    log.execute("CREATE TABLE lines (seq INTEGER PRIMARY KEY, source TEXT, line BLOB)")
    return log


async def follow(folder: Path, pause_s: float) -> None:
    tail, log, watch = Tail(folder), open_log(folder / "bare.db"), DirectoryWatch()
    for directory in tail.directories():
        watch.add(directory)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        print(listening.getsockname()[1], flush=True)
        client, _ = listening.accept()
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    while True:
        changed = await watch.changed()
        rows = [(str(directory), line) for directory in changed for line in tail.read(directory)]
        log.execute("BEGIN IMMEDIATE")
        log.executemany("INSERT INTO lines (source, line) VALUES (?, ?)", rows)
        log.execute("COMMIT")
        client.sendall(b"".join([line + b"\n" for _, line in rows]))
        await anyio.sleep(pause_s)


def _until_stdin_ends(began: float) -> None:
    sys.stdin.read()
    print(time.process_time() - began, flush=True)
    os._exit(0)


if __name__ == "__main__":
    threading.Thread(target=_until_stdin_ends, args=(time.process_time(),), daemon=True).start()
    anyio.run(follow, Path(sys.argv[1]), float(sys.argv[2]))
