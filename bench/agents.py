"""Many small agents that say the time ten times a second, for as long as they are let."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from bench.served import Serving, serving
from bench.wire import Following

PER_AGENT_PER_S = 10
PADDING = 200
"""With the rest about as long as a line of a real agent."""
START_DEADLINE_S = 90.0
AGENT = f"""
import os, time
time.sleep(time.time_ns() % 97 / 970)
while True:
    os.write(1, b"%d {"x" * PADDING}\\n" % time.time_ns())
    time.sleep({1 / PER_AGENT_PER_S})
"""


@contextmanager
def chattering(count: int) -> Iterator[Serving]:
    """`count` agents, all of them running and talking."""
    with serving(capacity=count) as served:
        served.command_agent("chatter", [sys.executable, "-I", "-S", "-c", AGENT])
        stream = Following(served.address)
        for number in range(count):
            served.http.call("POST", "/tasks", {"prompt": f"talk {number}", "agent": "chatter"})
        _until_started(stream, count)
        stream.socket.close()
        yield served


def _until_started(stream: Following, count: int) -> None:
    end = time.monotonic() + START_DEADLINE_S
    started = 0
    while started < count:
        if time.monotonic() > end:
            raise TimeoutError(f"{started} of {count} agents started")
        started += sum(frame.count(b'"run.started"') for frame in stream.texts())
