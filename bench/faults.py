"""`./podium bench faults --kills N`: kill -9 of server, worker and holders while tasks flow.

Kills come at random moments and at every named fault point in turn. At the end an observer reads the
agents' own journals: every step of every acknowledged task must have ended exactly once, every task must
have reached its end, and every change must hold what its agent wrote.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx

from bench.observer import observe
from podium.testing.fleet import Fleet

SERVER_POINTS = (
    "command.before_commit", "command.after_commit", "dispatch.leased", "dispatch.before_send",
    "ingest.before_commit", "ingest.after_commit", "finish.imported", "finish.committed",
)  # fmt: skip
WORKER_POINTS = (
    "worker.order_received", "worker.order_stored", "workspace.cloned", "launch.before_spawn",
    "launch.after_spawn", "spool.decoded", "spool.reported", "finish.captured", "finish.bundled",
    "finish.uploaded", "finish.checked", "finish.reported", "worker.forgotten",
)  # fmt: skip
POINTS = tuple(f"server {name}" for name in SERVER_POINTS) + tuple(f"worker {name}" for name in WORKER_POINTS)
IN_FLIGHT = 12
HOLDER_KILLS_PER_TASK = 2
"""The third loss of one task fails it by design (`reruns_exhausted`)."""
SETTLE_S = 180.0


class Campaign:
    def __init__(self, kills: int, seed: int) -> None:
        self._wanted = kills
        self._random = random.Random(seed)
        self._root = Path(tempfile.mkdtemp(prefix="podium-faults-"))
        self._journals = self._root / "journals"
        self.fleet = Fleet(
            self._root / "home",
            environ={"PODIUM_LEASE_TTL_S": "4", "PODIUM_RENEW_EVERY_S": "1", "PODIUM_FINISH_TURN_S": "20"},
        )
        self._points = itertools.cycle(self._random.sample(POINTS, len(POINTS)))
        self._armed: dict[str, str | None] = {"server": None, "worker": None}
        self._holder_kills: dict[str, int] = {}
        self._number = 0
        self.tasks: dict[str, list[str]] = {}
        self.open: set[str] = set()
        self.kills = 0
        self.by_target = {"server": 0, "worker": 0, "holder": 0}
        self.points_hit: set[str] = set()

    def run(self) -> dict[str, Any]:
        """The whole campaign; returns the figures."""
        began = time.monotonic()
        try:
            self._prepare()
            while self.kills < self._wanted:
                self._feed()
                self._restart()
                self._strike()
            self._settle()
            return self._judge(time.monotonic() - began)
        finally:
            self.fleet.stop()

    # ---- load ----------------------------------------------------------------------------------------

    def _prepare(self) -> None:
        self._repository = self._root / "repository"
        self._repository.mkdir()
        (self._repository / "README").write_text("a repository\n")
        for words in (["init", "-q", "-b", "main"], ["add", "."], ["commit", "-q", "-m", "one"]):
            command = ["git", "-c", "user.name=bench", "-c", "user.email=bench@localhost", *words]
            subprocess.run(command, cwd=self._repository, check=True)
        for name in ("server", "worker"):
            self.fleet.start(name)
        self.fleet.call("GET", "/health")
        agent = {"harness": "scripted", "options": {"journal": str(self._journals)}}
        self.fleet.call("PUT", "/agents/bench", agent, key="agent")

    def _feed(self) -> None:
        """Keep IN_FLIGHT tasks open, each opened under a key: an answer lost to a kill is asked for again."""
        self._look()
        while len(self.open) < IN_FLIGHT:
            self._number += 1
            steps = self._steps(self._number)
            body = {
                "prompt": json.dumps({"steps": steps}), "title": f"task {self._number}", "agent": "bench",
                "repository": str(self._repository),
                "checks": [{"name": "wrote", "argv": ["test", "-f", f"two-{self._number}.txt"]}],
            }  # fmt: skip
            task = self.fleet_call_guarded("POST", "/tasks", body, key=f"task-{self._number}")
            self.tasks[task["id"]] = [step["id"] for step in steps]
            self.open.add(task["id"])

    def _steps(self, number: int) -> list[dict[str, Any]]:
        pause = self._random.randrange(10, 250)
        return [
            {"id": "one", "do": "edit", "path": f"one-{number}.txt", "write": f"{number}\n"},
            {"id": "commit", "do": "commit", "message": f"one {number}"},
            {"id": "pause", "do": "wait", "duration_ms": pause},
            {"id": "two", "do": "edit", "path": f"two-{number}.txt", "write": f"{number}\n"},
            {"id": "say", "do": "say", "text": "done"},
        ]

    def fleet_call_guarded(self, method: str, path: str, body: Any = None, key: str = "") -> Any:
        """A call during which whoever dies is started again, so that it can end. Raises TimeoutError."""
        end = time.monotonic() + SETTLE_S
        while time.monotonic() < end:
            self._restart()
            try:
                return self.fleet.call(method, path, body, key=key, tries=5)
            except (RuntimeError, OSError, httpx.TransportError, json.JSONDecodeError):
                continue  # killed meanwhile: asked again, under the same key
        raise TimeoutError(f"{method} {path} was not answered within {SETTLE_S:g} s")

    def _look(self) -> None:
        for task_id in list(self.open):
            task = self.fleet_call_guarded("GET", f"/tasks/{task_id}")
            if task["state"]["word"] in {"done", "failed", "cancelled"}:
                self.open.discard(task_id)

    # ---- kills ---------------------------------------------------------------------------------------

    def _restart(self) -> None:
        """Start again whoever is down, every other time with the next fault point armed."""
        for name in ("server", "worker"):
            if self.fleet.is_up(name):
                continue
            if not self.fleet.ended_by_kill(name):
                raise RuntimeError(f"{name} ended by itself; see {self.fleet.home / (name + '.out')}")
            fault = self._armed[name]
            if fault is not None:
                self._count(name)
                self.points_hit.add(f"{name} {fault.partition(':')[0]}")
            self._armed[name] = self._next_fault(name) if self.kills < self._wanted else None
            self.fleet.start(name, self._armed[name])

    def _next_fault(self, name: str) -> str | None:
        if self._random.random() < 0.5:
            return None
        for _ in range(len(POINTS)):
            process, point = next(self._points).split(" ")
            if process == name:
                return f"{point}:{self._random.randrange(1, 12)}"
        return None

    def _strike(self) -> None:
        time.sleep(self._random.expovariate(1 / 0.15))
        target = self._random.choice(("server", "worker", "holder", "holder"))
        if target == "holder":
            self._kill_a_holder()
        elif self._armed[target] is None or self._random.random() < 0.2:
            armed, self._armed[target] = self._armed[target], None
            if self.fleet.kill(target):
                self._count(target)
            else:
                self._armed[target] = armed

    def _kill_a_holder(self) -> None:
        holders = list(self.fleet.holders().items())
        self._random.shuffle(holders)
        for run_id, pid in holders:
            order = self.fleet.home / "worker" / "runs" / run_id / "order.json"
            try:
                task = json.loads(order.read_text())["task_id"]
                if self._holder_kills.get(task, 0) >= HOLDER_KILLS_PER_TASK or not _is_holder(pid):
                    continue
                os.kill(pid, signal.SIGKILL)
            except (OSError, ValueError, KeyError):
                continue
            self._holder_kills[task] = self._holder_kills.get(task, 0) + 1
            self._count("holder")
            return

    def _count(self, target: str) -> None:
        self.kills += 1
        self.by_target[target] += 1

    # ---- the end -------------------------------------------------------------------------------------

    def _settle(self) -> None:
        end = time.monotonic() + SETTLE_S
        while self.open and time.monotonic() < end:
            self._look()
            time.sleep(0.1)

    def _judge(self, seconds: float) -> dict[str, Any]:
        seen = observe(self._journals, self.tasks)
        lost = {task for task, _ in seen.lost} | {task for task in self.tasks if not self._is_whole(task)}
        lost -= self.open
        return {
            "kills": self.kills,
            "tasks": len(self.tasks),
            "lost": len(lost),
            "doubled": len(seen.doubled),
            "stuck": len(self.open),
            "seconds": round(seconds, 1),
            "by_target": self.by_target,
            "points_hit": len(self.points_hit),
            "points": len(POINTS),
            "home": str(self._root) if lost or seen.doubled or self.open else "",
            "bad": {"lost": sorted(lost)[:20], "doubled": seen.doubled[:20], "stuck": sorted(self.open)[:20]},
        }

    def _is_whole(self, task_id: str) -> bool:
        """Done, and its change holds both files, by the check that looked for the second."""
        task = self.fleet_call_guarded("GET", f"/tasks/{task_id}")
        if task["state"]["word"] != "done" or task["change_id"] is None:
            return False
        change = self.fleet_call_guarded("GET", f"/changes/{task['change_id']}")
        return change["files"] == 2 and [check["verdict"] for check in change["checks"]] == ["pass"]


def _is_holder(pid: int) -> bool:
    """Only what we started is ever killed: a holder is a Python of this campaign, alone in its session."""
    try:
        return os.getsid(pid) == pid and b"python" in Path(f"/proc/{pid}/comm").read_bytes()
    except OSError:
        return False


def run_campaign(kills: int, seed: int | None = None) -> dict[str, Any]:
    """One campaign; the seed is printed with it, so that it can be played again."""
    seed = random.SystemRandom().randrange(2**31) if seed is None else seed
    return {**Campaign(kills, seed).run(), "seed": seed}
