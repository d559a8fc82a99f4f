"""From a person's answer to the agent that waits for it.

A scripted agent asks again and again; its own journal says when it had each answer (to the millisecond, by
the wall clock of this machine). The floor is the acknowledgement of the same answers: it is committed by
then, and nobody may be told before.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from bench.figure import Figure, Measurement, median, percentile
from bench.served import Serving, scratch, serving

ASKS = 40
REST_S = 0.05
ENDS_WITHIN_S = 60.0
P50, P95 = "answer to agent p50", "answer to agent p95"


def answers() -> Iterator[Figure]:
    with scratch() as folder, serving() as served:
        body = {"harness": "scripted", "options": {"journal": str(folder)}}
        served.http.call("PUT", "/agents/asking", body)
        steps = [{"id": f"ask{number}", "do": "ask", "command": f"make {number}"} for number in range(ASKS)]
        task = served.http.call("POST", "/tasks", {"prompt": json.dumps({"steps": steps}), "agent": "asking"})
        sent, acknowledged = _answer_all(served, task["id"])
        heard = _heard(served, task["id"], folder)
    reached = [(heard[step] - at) * 1e3 for step, at in sent.items()]
    floor = median(acknowledged)
    yield Figure(name=P50, value=median(reached), unit="ms", floor=floor, budget=50)
    yield Figure(name=P95, value=percentile(reached, 0.95), unit="ms", floor=floor, budget=50)


def _answer_all(served: Serving, task_id: str) -> tuple[dict[str, float], list[float]]:
    """(step → when its answer was sent, how long each acknowledgement took in ms)."""
    sent: dict[str, float] = {}
    took: list[float] = []
    deadline = time.monotonic() + ENDS_WITHIN_S
    while len(sent) < ASKS:
        if time.monotonic() > deadline:
            raise RuntimeError("the agent does not ask")
        for inquiry in _open_ones(served, task_id):
            time.sleep(REST_S)
            began = time.time()
            served.http.call("POST", f"/inquiries/{inquiry['id']}/answer", {"decision": "allow"})
            took.append((time.time() - began) * 1e3)
            sent[str(inquiry["call_id"]).rpartition(".")[0]] = began
    return sent, took


def _open_ones(served: Serving, task_id: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = served.http.call("GET", f"/inquiries?state=open&task={task_id}")["items"]
    return found


def _heard(served: Serving, task_id: str, folder: Path) -> dict[str, float]:
    """Step → when the agent had its answer, by its own record."""
    deadline = time.monotonic() + ENDS_WITHIN_S
    while served.http.call("GET", f"/tasks/{task_id}")["state"]["word"] != "done":
        if time.monotonic() > deadline:
            raise RuntimeError("the agent does not end")
        time.sleep(REST_S)
    records = [json.loads(line) for path in folder.glob("*.jsonl") for line in path.read_text().splitlines()]
    return {
        record["step"]: datetime.fromisoformat(record["at"]).timestamp()
        for record in records
        if record["phase"] == "end"
    }


MEASUREMENTS = (Measurement(names=(P50, P95), take=answers),)
