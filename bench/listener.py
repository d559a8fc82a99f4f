"""`python -m bench.listener HOME SECONDS COUNT`: COUNT WebSockets; the first is read, the others drained.

Prints how late what agents said came (ms), and how many events a second the first one got.
"""

from __future__ import annotations

import json
import selectors
import sys
import time
from pathlib import Path

from bench.figure import percentile
from bench.wire import Address, Following


def listen(home: Path, seconds: float, count: int) -> dict[str, float]:
    address = Address.of(home)
    first, *others = [Following(address) for _ in range(count)]
    selector = selectors.DefaultSelector()
    for one in (first, *others):
        selector.register(one.socket, selectors.EVENT_READ, one)
    print("listening", flush=True)
    late: list[float] = []
    events = drained = 0
    began = time.monotonic()
    while time.monotonic() - began < seconds:
        for key, _ in selector.select(0.1):
            if key.data is not first:
                drained += len(key.data.socket.recv(1 << 18))
                continue
            for frame in first.texts():
                now = time.time_ns()
                for recorded in json.loads(frame)["events"]:
                    events += 1
                    late += _lateness(recorded["event"], now)
    passed = time.monotonic() - began
    return {
        "events_per_s": events / passed,
        "lines_per_s": len(late) / passed,
        "drained_mb_per_s": drained / passed / 1e6,
        "p50": percentile(late, 0.50) if late else 0.0,
        "p95": percentile(late, 0.95) if late else 0.0,
    }


def _lateness(event: dict[str, str], now: int) -> list[float]:
    """Of each line that an agent began with its wall clock."""
    if event["type"] != "run.said":
        return []
    words = (line.split(" ", 1)[0] for line in event["text"].splitlines())
    return [(now - int(word)) / 1e6 for word in words if len(word) == 19 and word.isdecimal()]


if __name__ == "__main__":
    print(json.dumps(listen(Path(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]))))
