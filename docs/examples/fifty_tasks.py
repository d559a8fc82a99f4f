"""Fifty tasks by the API alone: opened with keys, followed by the stream, every diff fetched.

python docs/examples/fifty_tasks.py REPOSITORY AGENT PROMPT [COUNT]

Needs `pip install httpx`, and `$PODIUM_HOME` of a server that runs on this machine (or PODIUM_URL and
PODIUM_TOKEN). It may lose the connection, and the server may be killed and started again, at any moment: no
task is opened twice, and no event is missed. Written with docs/reference/api.md and nothing else.
"""

import json
import os
import pathlib
import sys
import time
import uuid

import httpx

HOME = pathlib.Path(os.environ.get("PODIUM_HOME", "~/.podium")).expanduser()
ENDS = {"task.done", "task.failed", "task.cancelled"}


def server() -> httpx.Client:
    """Its address is read each time: a server that was started again may have moved."""
    url = os.environ.get("PODIUM_URL") or json.loads((HOME / "server.json").read_text())["url"]
    token = os.environ.get("PODIUM_TOKEN") or (HOME / "owner.token").read_text().strip()
    headers = {"Authorization": f"Bearer {token}"}
    return httpx.Client(base_url=url + "/api/v1", headers=headers, timeout=30, trust_env=False)


def come_back() -> None:
    print("connection lost; coming back", file=sys.stderr)
    time.sleep(0.5)


def ask(method: str, path: str, **rest) -> httpx.Response:
    """Again until it is answered: safe, because every change carries a key."""
    while True:
        try:
            with server() as http:
                answer = http.request(method, path, **rest)
            if answer.status_code not in {429, 503}:
                answer.raise_for_status()
                return answer
            time.sleep(float(answer.headers.get("Retry-After", 0.5)))
        except (httpx.TransportError, FileNotFoundError):
            come_back()


def events(cursor: str):
    """Everything after the cursor, without end: the connection may break as often as it likes."""
    while True:
        try:
            following = {"Last-Event-ID": cursor}
            types = {"type": ",".join(sorted(ENDS))}
            with (
                server() as http,
                http.stream("GET", "/events/stream", params=types, headers=following, timeout=45) as lines,
            ):
                lines.raise_for_status()
                for line in lines.iter_lines():
                    if line.startswith("id: "):
                        cursor = line.removeprefix("id: ")
                    elif line.startswith("data: "):
                        yield json.loads(line.removeprefix("data: "))["event"]
        except (httpx.TransportError, httpx.HTTPStatusError, FileNotFoundError):
            come_back()


def main(repository: str, agent: str, prompt: str, count: str = "50") -> None:
    batch = uuid.uuid4().hex
    start = ask("GET", "/status").json()["cursor"]
    open_ones = set()
    for number in range(int(count)):
        body = {"prompt": prompt, "repository": repository, "agent": agent, "title": f"number {number}"}
        task = ask("POST", "/tasks", json=body, headers={"Idempotency-Key": f"{batch}-{number}"}).json()
        open_ones.add(task["id"])
    seen = 0
    for event in events(start):
        if event["task_id"] not in open_ones:
            continue
        open_ones.discard(event["task_id"])
        seen += 1
        lines = 0
        if event.get("change_id"):
            lines = ask("GET", f"/changes/{event['change_id']}/diff").text.count("\n")
        print(f"{seen:3} {event['type']:14} {event['task_id']} {lines} lines of diff", flush=True)
        if not open_ones:
            return


if __name__ == "__main__":
    main(*sys.argv[1:])
