"""How figures grow: with the number of tasks, and with the number of agents that work at once.

No budgets and no verdicts: curves, of which a straight line or a bend can be read.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

from bench.agents import chattering
from bench.figure import median
from bench.figure_http import add_tasks
from bench.figure_start import start_s
from bench.served import Serving, cpu_share, rss_mb, run_program, serving
from bench.wire import Address, Http

TASKS, FULL_TASKS = (100, 10_000), (1_000_000,)
AGENTS, FULL_AGENTS = (1, 10, 50), (200, 500)
REQUESTS = 100
LISTENED_S = 4
Row = dict[str, float]


def grown(*, full: bool = False) -> dict[str, list[Row]]:
    """{"tasks": [...], "agents": [...]}: one row for each size."""
    return {
        "tasks": list(_with_tasks(TASKS + (FULL_TASKS if full else ()))),
        "agents": [_with_agents(count) for count in AGENTS + (FULL_AGENTS if full else ())],
    }


def table(name: str, rows: list[Row]) -> Iterator[str]:
    """As lines of Markdown."""
    heads = [name, *(head for head in rows[0] if head != "size")]
    yield "| " + " | ".join(heads) + " |"
    yield "|---" * len(heads) + "|"
    for row in rows:
        values = (f"{value:,.1f}" for head, value in row.items() if head != "size")
        yield f"| {int(row['size']):,} | " + " | ".join(values) + " |"


def _with_tasks(sizes: tuple[int, ...]) -> Iterator[Row]:
    """One server, filled further and further, and started again at every size."""
    with serving(works=False) as served:
        present = 0
        for size in sizes:
            add_tasks(served.fleet.home, size - present)
            present = size
            start_ms = _restart_ms(served)
            http = Http(Address.of(served.fleet.home))
            yield {"size": size, "start ms": start_ms, **_requests(http), "memory MB": rss_mb(served.pid)}
            http.close()


def _requests(http: Http) -> Row:
    """Median ms of one client's requests, one after the other."""
    page = http.call("GET", "/tasks?limit=50")
    some = [task["id"] for task in page["items"]]
    body = {"prompt": "do this, please", "agent": "claude"}
    return {
        "list 50 ms": _median_ms(lambda n: http.call("GET", "/tasks?limit=50")),
        "show ms": _median_ms(lambda n: http.call("GET", f"/tasks/{some[n % len(some)]}")),
        "submit ms": _median_ms(lambda n: http.call("POST", "/tasks", body)),
        "events page ms": _median_ms(lambda n: http.call("GET", "/events?limit=100")),
    }


def _median_ms(ask: Callable[[int], Any]) -> float:
    taken = []
    for number in range(REQUESTS):
        began = time.monotonic()
        ask(number)
        taken.append(1000 * (time.monotonic() - began))
    return median(taken)


def _restart_ms(served: Serving) -> float:
    """From the spawn to the first healthy answer, on the home as it is."""
    served.fleet.terminate("server")
    return 1000 * start_s(served.fleet)


def _with_agents(count: int) -> Row:
    """Agents that say ten lines a second each, with one client that follows everything."""
    with chattering(count) as served, cpu_share(served.pid) as share:
        heard = run_program("listener", str(served.fleet.home), str(LISTENED_S), "1")
        memory = rss_mb(served.pid)
    return {
        "size": count,
        "% of a core": share[0],
        "us per line": 1e4 * share[0] / max(1.0, heard["lines_per_s"]),
        "line to client p50 ms": heard["p50"],
        "p95 ms": heard["p95"],
        "lines/s": heard["lines_per_s"],
        "memory MB": memory,
    }
