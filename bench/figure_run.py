"""From a submitted task to its agent's first instruction, and from its last to the task's end.

The agent is `date`: it says by the wall clock of this machine when it lived. The end of a task is the moment
at which a client has it, after the commit, by WebSocket.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.figure import Figure, Measurement, median
from bench.served import Serving, scratch, serving
from bench.wire import Following

RUNS = 40
RUNS_WITH_WORKSPACE = 15
REST_S = 0.1
"""Between two tasks: what is tidied up after one is not part of the way of the next."""
FILES, COMMITS = 300, 20
TO_AGENT, TO_END = "submit to agent, no workspace", "agent exit to task end, no workspace"
TO_AGENT_CLONED, TO_END_CLONED = "submit to agent, with workspace", "agent exit to task end, with workspace"
DATE = ["date", "+%s%N"]
CHANGING = ["sh", "-c", "date +%s%N; date +%s%N > stamp.txt; date +%s%N"]
HOLDER_MS = 1.0
"""A second process between us and the agent cannot be had for nothing."""


def without_workspace() -> Iterator[Figure]:
    with serving() as served:
        to_agent, to_end = _run_many(served, DATE, RUNS, None)
    spawn = _spawn_ms()
    yield Figure(name=TO_AGENT, value=median(to_agent), unit="ms", floor=spawn + HOLDER_MS, budget=10)
    yield Figure(name=TO_END, value=median(to_end), unit="ms", floor=HOLDER_MS, budget=20)


def with_workspace() -> Iterator[Figure]:
    with scratch() as folder, serving() as served:
        repository = make_repository(folder / "repository")
        to_agent, to_end = _run_many(served, CHANGING, RUNS_WITH_WORKSPACE, repository)
        clone, finish = _git_ms(folder, repository)
    yield Figure(name=TO_AGENT_CLONED, value=median(to_agent), unit="ms", floor=clone, budget=clone + 15)
    yield Figure(name=TO_END_CLONED, value=median(to_end), unit="ms", floor=finish, budget=finish + 15)


def _run_many(
    served: Serving, argv: list[str], count: int, repository: Path | None
) -> tuple[list[float], list[float]]:
    """(submit → agent, agent's last word → end), in ms, one task after the other."""
    served.command_agent("stamp", argv)
    body: dict[str, Any] = {"prompt": "say when", "agent": "stamp"}
    if repository is not None:
        body["repository"] = str(repository)
    stream = Following(served.address)
    _one(served, stream, body)  # makes the mirror, warms the template
    pairs = [_one(served, stream, body) for _ in range(count)]
    return [began for began, _ in pairs], [ended for _, ended in pairs]


def _one(served: Serving, stream: Following, body: dict[str, Any]) -> tuple[float, float]:
    time.sleep(REST_S)
    submitted = time.time_ns()
    task_id = served.http.call("POST", "/tasks", body)["id"]
    stamps: list[int] = []
    while True:
        for frame in stream.texts():
            now = time.time_ns()
            for recorded in json.loads(frame)["events"]:
                event = recorded["event"]
                if event.get("task_id") != task_id:
                    continue
                if event["type"] == "run.said":
                    stamps += [int(word) for word in event["text"].split()]
                elif event["type"] == "task.done":
                    return (stamps[0] - submitted) / 1e6, (now - stamps[-1]) / 1e6
                elif event["type"] in {"task.failed", "task.cancelled"}:
                    raise RuntimeError(f"the task failed: {event}")


# ---- floors ------------------------------------------------------------------------------------------


def _spawn_ms() -> float:
    """`date` by posix_spawn, until it says when it lived."""
    found = []
    for _ in range(RUNS):
        reading, writing = os.pipe()
        began = time.time_ns()
        actions = [(os.POSIX_SPAWN_DUP2, writing, 1)]
        pid = os.posix_spawn("/bin/date", DATE, dict(os.environ), file_actions=actions)
        os.close(writing)
        with os.fdopen(reading, "rb") as said:
            found.append((int(said.read()) - began) / 1e6)
        os.waitpid(pid, 0)
    return median(found)


def make_repository(path: Path) -> Path:
    path.mkdir()
    git(path, "init", "-q", "-b", "main")
    for number in range(COMMITS):
        for index in range(number * FILES // COMMITS, (number + 1) * FILES // COMMITS):
            file = path / f"part{index % 10}" / f"file{index}.txt"
            file.parent.mkdir(exist_ok=True)
            file.write_text(f"line of {index}\n" * 100)
        git(path, "add", ".")
        git(path, "commit", "-q", "-m", f"commit {number}")
    return path


def _git_ms(folder: Path, repository: Path) -> tuple[float, float]:
    """(clone, the four git commands without which no work travels: add, commit, bundle, fetch)."""
    mirror = folder / "mirror.git"
    git(folder, "clone", "-q", "--bare", str(repository), str(mirror))
    clones, finishes = [], []
    for number in range(RUNS_WITH_WORKSPACE):
        tree, bundle = folder / f"tree{number}", folder / f"{number}.bundle"
        began = time.monotonic()
        git(folder, "clone", "-q", "--shared", str(mirror), str(tree))
        clones.append(1000 * (time.monotonic() - began))
        (tree / "stamp.txt").write_text(f"{number}\n")
        began = time.monotonic()
        git(tree, "add", "-A")
        git(tree, "commit", "-q", "-m", "work")
        git(tree, "bundle", "create", "-q", str(bundle), "main", "^origin/main")
        git(mirror, "fetch", "-q", str(bundle), f"main:refs/runs/{number}")
        finishes.append(1000 * (time.monotonic() - began))
    return median(clones), median(finishes)


def git(where: Path, *words: str) -> None:
    command = ["git", "-c", "user.name=bench", "-c", "user.email=bench@localhost", *words]
    subprocess.run(command, cwd=where, check=True, capture_output=True)


MEASUREMENTS = (
    Measurement(names=(TO_AGENT, TO_END), take=without_workspace),
    Measurement(names=(TO_AGENT_CLONED, TO_END_CLONED), take=with_workspace),
)
