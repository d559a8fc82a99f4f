"""`python -m bench.bare_fan CLIENTS RATE PAUSE_S`: the floor of following the log.

Every PAUSE_S joins its share of RATE ready-made events and sends the same bytes to CLIENTS plain connections:
no log, no cursors, no protocol. Prints its port; at the end of stdin its use of processor time in seconds,
counted from the last connection on.
"""

from __future__ import annotations

import select
import socket
import sys
import time

EVENT = b'{"seq":%d,"event":{"type":"run.said","text":"' + b"x" * 200 + b'"}}'


def serve(clients: int, rate: float, pause_s: float) -> float:
    with socket.create_server(("127.0.0.1", 0), backlog=clients) as listening:
        print(listening.getsockname()[1], flush=True)
        sockets = [listening.accept()[0] for _ in range(clients)]
    for one in sockets:
        one.setblocking(False)
    began, cpu, sent = time.monotonic(), time.process_time(), 0
    while not select.select([sys.stdin], [], [], pause_s)[0]:
        due = int((time.monotonic() - began) * rate)
        frame = b",".join([EVENT % seq for seq in range(sent, due)])
        sent = due
        for one in sockets:
            one.send(frame)
    return time.process_time() - cpu


if __name__ == "__main__":
    print(serve(int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])), flush=True)
